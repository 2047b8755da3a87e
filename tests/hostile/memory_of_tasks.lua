-- Starts tasks that wait.
--! memory
gw.on("go." .. gw.app.name, function()
  while true do task.spawn(task.sleep, 1e6) end
end)
