-- Keeps coroutines.
--! memory
gw.on("go." .. gw.app.name, function()
  local hoard = {}
  while true do hoard[#hoard + 1] = coroutine.create(print) end
end)
