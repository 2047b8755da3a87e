-- Puts its own finalizer in the place of that of files.
--! held
gw.on("go." .. gw.app.name, function()
  assert(not getmetatable(io.stdout))
  assert(getmetatable(setmetatable({}, { __metatable = "x" })) == "x" and getmetatable({}) == nil)
  print("held")
end)

--> held
