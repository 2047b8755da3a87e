-- Loops while a coroutine is closed.
--! budget
gw.on("go." .. gw.app.name, function()
  local waiting = coroutine.create(function()
    local _ <close> = setmetatable({}, { __close = function() while true do end end }) --*
    coroutine.yield()
  end)
  coroutine.resume(waiting)
  coroutine.close(waiting) --*
end)
