-- Loops in what string.gsub replaces with.
--! budget
gw.on("go." .. gw.app.name, function()
  string.gsub("aaa", "a", function() while true do end end) --*
end)
