-- Loops in what a function in C calls as message handler.
--! budget
gw.on("go." .. gw.app.name, function()
  package.searchers[1] = function() while true do end end --*
  while true do xpcall(function() while true do end end, require) end --*
end)
