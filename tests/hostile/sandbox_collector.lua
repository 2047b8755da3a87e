-- Stops the collector.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  for _, option in ipairs { "stop", "restart", "incremental", "generational", "setpause", "setstepmul" } do
    assert(not pcall(collectgarbage, option), option)
  end
  assert(collectgarbage("count") > 0 and collectgarbage() == 0)
  print("held")
end)

--> held
