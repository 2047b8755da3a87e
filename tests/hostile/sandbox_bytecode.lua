-- Loads bytecode.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  local code = string.dump(function() return 1 end)
  assert(not load(code) and not load(code, "x", "b") and load("return 1")() == 1)
  print("held")
end)

--> held
