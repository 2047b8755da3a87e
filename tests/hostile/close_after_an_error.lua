-- Fails, and loops when the host closes what is left.
--! budget
gw.on("go." .. gw.app.name, function()
  local _ <close> = setmetatable({}, { __close = function() while true do end end }) --*
  error("on purpose")
end)
