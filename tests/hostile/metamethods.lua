-- Loops in operators.
--! budget
gw.on("go." .. gw.app.name, function()
  local function loop() while true do end end --*
  local t = setmetatable({}, { __add = loop, __concat = loop, __eq = loop, __lt = loop, __call = loop, __unm = loop })
  while true do --*
    pcall(function() return t + 1 end) --*
    pcall(function() return t .. "x" end) --*
    pcall(t) --*
  end
end)
