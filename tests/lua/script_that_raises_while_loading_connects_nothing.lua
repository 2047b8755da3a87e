-- The same when the main chunk raises, here because it wants to send, which only handlers can.

--! exit: 1
--! ends: by itself
--! allow-errors
--! scenario
sim.on("@open", function() print("somebody came") end)

--! app app
gw.on("tick", print)
gw.send("agents.list")

--! log: "error","message":"app\.lua:11: .*main chunk
--! not-log: connecting
--! expect sim
