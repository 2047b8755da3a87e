-- Asks a table that asks itself.
--! budget
gw.on("go." .. gw.app.name, function()
  local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) --*
  while true do pcall(function() return t[1] end) end --*
end)
