-- Changes what all strings share.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  assert(getmetatable("") == "string")
  assert(not pcall(setmetatable, "", {}))
  assert(not pcall(function() getmetatable("").__index = nil end) and ("x"):rep(2) == "xx")
  print("held")
end)

--> held
