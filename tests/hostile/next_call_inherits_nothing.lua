-- Is interrupted; the other tasks of the same app have budgets of their own.
--! budget
gw.on("go." .. gw.app.name, function()
  for i = 1, 3 do task.spawn(function() print("next", i) end) end
  while true do end --*
end)

--> next	1
--> next	2
--> next	3
