-- Reaches for the hook, the registry and the upvalues.
--! held
gw.on("go." .. gw.app.name, function()
  for _, name in ipairs { "sethook", "gethook", "getregistry", "setmetatable", "getmetatable", "setupvalue",
    "getupvalue", "upvaluejoin", "upvalueid", "setlocal", "setuservalue", "getuservalue", "debug",
    "setcstacklimit" } do
    assert(not pcall(debug[name]), name)
  end
  print("held")
end)

--> held
