-- Raises in the message handler.
--! budget
gw.on("go." .. gw.app.name, function()
  local raise
  function raise() error(setmetatable({}, { __tostring = raise })) end --*
  while true do xpcall(raise, raise) end --*
end)
