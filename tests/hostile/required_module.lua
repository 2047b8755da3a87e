-- Loops in a module.
--! budget
gw.on("go." .. gw.app.name, function()
  package.preload.endless = function() while true do end end --*
  while true do pcall(require, "endless") end --*
end)
