-- Loops while coroutine.wrap closes what has failed.
--! budget
gw.on("go." .. gw.app.name, function()
  local fails = coroutine.wrap(function()
    local _ <close> = setmetatable({}, { __close = function() while true do end end }) --*
    error("on purpose")
  end)
  while true do pcall(fails) end --*
end)
