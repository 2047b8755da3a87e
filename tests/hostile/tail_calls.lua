-- Calls itself without end, and without a stack.
--! budget
gw.on("go." .. gw.app.name, function()
  local function again() return again() end --*
  again()
end)
