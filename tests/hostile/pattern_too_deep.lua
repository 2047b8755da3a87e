-- Has a pattern that recurses in C.
--! held
gw.on("go." .. gw.app.name, function()
  assert(not pcall(string.find, ("a"):rep(1e5), ("a?"):rep(1e5)))
  assert(not pcall(string.find, "x", ("("):rep(40)))
  print("held")
end)

--> held
