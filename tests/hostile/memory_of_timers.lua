-- Sets timers.
--! memory
gw.on("go." .. gw.app.name, function()
  while true do timer.after(1e6, print) end
end)
