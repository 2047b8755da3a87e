-- Ends the process, or changes its locale.
--! held
gw.on("go." .. gw.app.name, function()
  assert(not pcall(os.exit) and not pcall(os.exit, true, true) and not pcall(os.setlocale, "C"))
  print("held")
end)

--> held
