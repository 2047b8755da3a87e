-- Loops when the log asks for the text of a value.
--! budget
gw.on("go." .. gw.app.name, function()
  log.info("x", { a = setmetatable({ 1, b = 2 }, { __tostring = function() while true do end end }) }) --*
end)
