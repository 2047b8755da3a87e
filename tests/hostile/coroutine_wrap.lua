-- Loops in a function of coroutine.wrap, whose error is caught.
--! budget
gw.on("go." .. gw.app.name, function()
  while true do --*
    pcall(coroutine.wrap(function() while true do end end)) --*
  end
end)
