-- Fills a table.
--! memory
gw.on("go." .. gw.app.name, function()
  local hoard = {}
  while true do hoard = { hoard } end
end)
