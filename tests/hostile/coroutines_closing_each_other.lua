-- Recurses through coroutines that close each other: Lua does not see how deep that is.
--! held
--! memory 256MiB
gw.on("go." .. gw.app.name, function()
  local before
  for _ = 1, 10000 do
    local inner = before
    before = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function() return inner and coroutine.close(inner) end })
      coroutine.yield()
    end)
    coroutine.resume(before)
  end
  coroutine.close(before)
  print("held")
end)

--> held
