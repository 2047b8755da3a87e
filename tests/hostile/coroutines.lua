-- Loops in a coroutine, in a coroutine.
--! budget
gw.on("go." .. gw.app.name, function()
  local function deep(level)
    local inner = coroutine.create(level > 0 and deep or function() while true do end end) --*
    while true do coroutine.resume(inner, level - 1) end --*
  end
  deep(10) --*
end)
