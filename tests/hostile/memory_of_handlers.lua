-- Registers handlers.
--! memory
--! cpu 10
gw.on("go." .. gw.app.name, function()
  while true do gw.on("never", print) end
end)
