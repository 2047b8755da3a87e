-- Fills a table.
--! memory
gw.on("go." .. gw.app.name, function()
  local hoard = {}
  while true do hoard[#hoard + 1] = {} end
end)
