-- Encodes a table that holds another one twice, that holds another one twice.
--! budget
gw.on("go." .. gw.app.name, function()
  local web = {}
  for _ = 1, 60 do web = { web, web } end
  while true do json.encode(web) end --*
end)
