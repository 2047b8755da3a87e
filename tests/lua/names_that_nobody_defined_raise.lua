-- A misspelt global is an error with file and line, reading as well as assigning, in handlers as in the main chunk.

--! allow-errors
--! app app
--| print(pcall(function() return misspelt end))
--| print(pcall(function() counter = 1 end))
print(rawget(_G, "counter"))
rawset(_G, "meant", 1)
print(_G.meant, _G.setfenv)
print((select(2, pcall(os.exit)):match("^os.exit is refused")))
--| gw.on("@ready", function() timer.after(0, function() prnit("hello") end) end)

--! log: "error","app":"app","message":"a timer failed: app\.lua:11: undefined global 'prnit'
--! expect app
--> false	app.lua:5: undefined global 'misspelt'
--> false	app.lua:6: assignment to undefined global 'counter': write 'local counter' (or 'local function')
--> nil
--> 1	nil
--> os.exit is refused
