-- Asks for strings that do not fit.
--! held
gw.on("go." .. gw.app.name, function()
  assert(not pcall(string.rep, "x", 1e9) and not pcall(string.rep, "x", 1e18))
  assert(not pcall(string.rep, "", 3, ("x"):rep(1e7)))
  print("held")
end)

--> held
