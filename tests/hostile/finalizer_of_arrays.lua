-- Puts the finalizer into the metatable that the host gives to arrays.
--! held
gw.on("go." .. gw.app.name, function()
  local class = getmetatable(json.array {})
  print(pcall(rawset, class, "__gc", function() while true do end end))
  for _ = 1, 100 do json.decode("[1]") end
  collectgarbage()
  print("held")
end)
--> false	bad argument #1 to 'rawset' (table expected, got string)
--> held
