-- Catches the error, and goes on.
--! budget
gw.on("go." .. gw.app.name, function()
  while true do --*
    pcall(function() while true do end end) --*
  end
end)
