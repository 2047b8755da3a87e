-- Puts the finalizer into the metatable when objects have that already.
--! held
gw.on("go." .. gw.app.name, function()
  local class = {}
  for _ = 1, 100 do setmetatable({}, class) end
  class.__gc = function() while true do end end
  collectgarbage()
  setmetatable({}, setmetatable({}, { __index = class }))
  collectgarbage()
  assert(not pcall(setmetatable, {}, class))
  print("held")
end)

--> held
