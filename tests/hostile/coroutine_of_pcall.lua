-- A coroutine that is nothing but pcall ends well, whatever happens in it.
--! budget
gw.on("go." .. gw.app.name, function()
  while true do coroutine.resume(coroutine.create(pcall), function() while true do end end) end --*
end)
