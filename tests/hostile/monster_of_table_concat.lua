-- Puts many strings together, again and again.
--! budget
gw.on("go." .. gw.app.name, function()
  local t = {}
  for i = 1, 1e5 do t[i] = "abc" end --*
  while true do pcall(table.concat, t) end --*
end)
