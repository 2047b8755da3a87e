-- Loops in the message handler, where hooks are off.
--! budget
gw.on("go." .. gw.app.name, function()
  while true do --*
    xpcall(function() while true do end end, function() while true do end end) --*
  end
end)
