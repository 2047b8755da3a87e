-- File, line and cause; exit status 1; nobody has connected.

--! exit: 1
--! ends: by itself
--! allow-errors
--! scenario
sim.on("@open", function() print("somebody came") end)

--! app good
print("loaded")

--! file bad.lua
--| gw.on("tick", function()
--|   print("no end"
--| end)

--! run: bad.lua
--! log: "error","message":"bad\.lua:15: .*expected.*near 'end'
--! not-log: connecting
--! expect sim
