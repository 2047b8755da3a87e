-- Reaches below Lua.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  for _, name in ipairs { "getinfo", "getlocal", "traceback", "sethook", "getregistry", "getupvalue" } do
    assert(not pcall(debug[name], 1) and not pcall(require("debug")[name], 1), name)
  end
  print("held")
end)

--> held
