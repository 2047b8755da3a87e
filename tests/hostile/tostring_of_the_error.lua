-- Loops when the host asks for the text of an error.
--! budget
gw.on("go." .. gw.app.name, function()
  error(setmetatable({}, { __tostring = function() while true do end end })) --*
end)
