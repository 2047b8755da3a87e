-- Recurses until there is no stack.
--! held
--! memory 256MiB
gw.on("go." .. gw.app.name, function()
  local function deep() return 1 + deep() end
  local ok, message = pcall(deep)
  assert(not ok and message:find("stack overflow", 1, true), message)
  print("held")
end)

--> held
