-- Repeats nothing, more often than there is time for.
--! held
gw.on("go." .. gw.app.name, function()
  assert(string.rep("", math.maxinteger) == "" and ("").rep("", 1e15, "") == "" and ("ab"):rep(2, "-") == "ab-ab")
  print("held")
end)

--> held
