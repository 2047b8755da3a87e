-- Calls functions of the host that call back, again and again.
--! budget
gw.on("go." .. gw.app.name, function()
  local shown = setmetatable({ 1, b = 2 }, { __tostring = function() return "x" end }) --*
  while true do log.debug("x", { a = shown }) end --*
end)
