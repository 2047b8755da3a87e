-- Loops in what table.sort compares with.
--! budget
gw.on("go." .. gw.app.name, function()
  table.sort({ 3, 2, 1 }, function() while true do end end) --*
end)
