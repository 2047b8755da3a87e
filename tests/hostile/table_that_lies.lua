-- Says that it has more elements than there is time for.
--! held
gw.on("go." .. gw.app.name, function()
  local long = setmetatable({}, { __len = function() return math.maxinteger end })
  local sparse = {}
  for i = 62, 0, -1 do sparse[1 << i] = true end
  assert(not pcall(table.insert, long, 1, true) and not pcall(table.remove, long, 1))
  assert(#sparse < 1e9 or not pcall(table.insert, sparse, 1, true) and not pcall(table.remove, sparse, 1))
  assert(not pcall(table.move, {}, 1, math.maxinteger - 1, 2) and not pcall(table.move, {}, math.mininteger, 0, 1))
  assert(not pcall(table.concat, long) and not pcall(table.unpack, long) and not pcall(table.sort, long))
  local t = { 1, 2 }
  table.insert(t, 1, 0)
  assert(table.remove(t, 1) == 0 and #table.move(t, 1, 2, 3) == 4)
  print("held")
end)

--> held
