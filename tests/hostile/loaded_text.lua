-- Loops in text that it loads.
--! budget
--! also hostile:1
gw.on("go." .. gw.app.name, function()
  local code = load("while true do end", "=hostile")
  while true do pcall(code) end --*
end)
