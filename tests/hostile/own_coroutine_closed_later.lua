-- Keeps the coroutine of its handler, which was interrupted, and has it closed later.
--! budget
local interrupted

gw.on("go." .. gw.app.name, function()
  interrupted = coroutine.running()
  timer.after(0.01, function() print("held", coroutine.close(interrupted)) end)
  local _ <close> = setmetatable({}, { __close = function() while true do end end })
  while true do end --*
end)

--> held	false	it was interrupted over its CPU budget: what it had to close is left to the garbage collector
