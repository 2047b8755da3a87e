-- Catches the error where nothing of Lua is left around it.
--! budget
gw.on("go." .. gw.app.name, function()
  task.spawn(pcall, function() while true do end end) --*
end)
