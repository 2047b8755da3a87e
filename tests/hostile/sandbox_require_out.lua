-- Requires what is beyond its folder.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  for _, name in ipairs { "..outside", "../outside", "/etc/passwd", "....outside", "link", "linked.inside" } do
    assert(not pcall(require, name), name)
  end
  assert(require "beside" == "beside")
  print("held")
end)

--> held
