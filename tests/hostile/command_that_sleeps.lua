-- Waits for a command.
--! slow
--! call execute
gw.on("go." .. gw.app.name, function()
  os.execute("sleep 4") --*
end)
