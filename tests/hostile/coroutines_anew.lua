-- Makes a new coroutine for each time it is interrupted.
--! budget
gw.on("go." .. gw.app.name, function()
  while true do coroutine.resume(coroutine.create(function() while true do end end)) end --*
end)
