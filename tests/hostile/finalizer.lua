-- Puts a finalizer, where hooks are off, into a metatable: it is told what to use.
--! held
gw.on("go." .. gw.app.name, function()
  for _, value in ipairs { function() while true do end end, 0, "later" } do
    local ok, message = pcall(setmetatable, {}, { __gc = value })
    assert(not ok and message:find("__close", 1, true) and message:find("@stop", 1, true), message)
  end
  assert(not pcall(setmetatable, {}, { __gc = false }))
  print("held")
end)

--> held
