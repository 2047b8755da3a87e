-- Loops in the function that load reads from.
--! budget
gw.on("go." .. gw.app.name, function()
  load(function() while true do end end) --*
end)
