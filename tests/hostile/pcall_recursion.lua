-- Catches the error at each of very many levels.
--! budget
gw.on("go." .. gw.app.name, function()
  local function again() return pcall(again) end --*
  while true do pcall(again) end --*
end)
