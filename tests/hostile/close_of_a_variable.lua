-- Loops when the variable is closed, because it was interrupted.
--! budget
gw.on("go." .. gw.app.name, function()
  local _ <close> = setmetatable({}, { __close = function() while true do end end }) --*
  while true do end --*
end)
