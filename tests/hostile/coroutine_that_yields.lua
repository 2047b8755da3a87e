-- Yields between two steps.
--! budget
gw.on("go." .. gw.app.name, function()
  local step = coroutine.wrap(function()
    while true do coroutine.yield() end --*
  end)
  while true do step() end --*
end)
