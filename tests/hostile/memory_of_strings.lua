-- Doubles a string.
--! memory
gw.on("go." .. gw.app.name, function()
  local text = "x"
  while true do text = text .. text end
end)
