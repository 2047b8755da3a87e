-- Counts to the end of the integers.
--! budget
gw.on("go." .. gw.app.name, function()
  for _ = 1, math.maxinteger do end --*
end)
