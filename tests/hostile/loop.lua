-- Loops.
--! budget
gw.on("go." .. gw.app.name, function()
  while true do end --*
end)
