-- Resumes and closes the coroutine of a task, which belongs to the scheduler.
--! held
gw.on("go." .. gw.app.name, function()
  local other
  task.spawn(function()
    other = coroutine.running()
    task.sleep(60)
  end)
  task.sleep(0)
  local own = coroutine.running()
  assert(other and not coroutine.resume(other) and not pcall(coroutine.close, other))
  assert(not coroutine.resume(own) and not pcall(coroutine.close, own))
  print("held")
end)

--> held
