-- Keeps the coroutine in which it was interrupted, where hooks stay off, and has it closed later.
--! budget
local interrupted

gw.on("go." .. gw.app.name, function()
  timer.after(0.01, function()
    coroutine.close(interrupted)
    pcall(coroutine.wrap(function() coroutine.close(interrupted) end))
    print("held", coroutine.resume(interrupted))
  end)
  interrupted = coroutine.create(function()
    local _ <close> = setmetatable({}, { __close = function() while true do end end })
    while true do end --*
  end)
  coroutine.resume(interrupted)
end)

--> held	false	cannot resume dead coroutine
