-- Has functions in C as metamethods, and no Lua between them.
--! budget
gw.on("go." .. gw.app.name, function()
  local t = setmetatable({}, { __index = rawlen, __newindex = rawequal })
  while true do pcall(table.move, t, 1, 1 << 25, 1) end --*
end)
