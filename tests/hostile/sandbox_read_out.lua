-- Reads what is beyond its folder.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  for _, name in ipairs { "../outside.lua", "/etc/passwd", "link.lua", "linked/inside.lua", "x/../../outside.lua" } do
    local text, err = gw.read_file(name)
    assert(not text and err, name)
  end
  assert(gw.read_file("beside.lua"))
  print("held")
end)

--> held
