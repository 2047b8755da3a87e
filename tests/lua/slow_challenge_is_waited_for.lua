-- A gateway under load that takes its time to begin: nothing is wrong with that.

--! scenario
sim.next { challenge_after = 0.5 }
sim.on("@open", function(peer) print("open", peer.number) end)

--! app app
gw.on("@closed", function() print("closed") end)
gw.on("@ready", function() print("ready") end)

--! not-log: "warn"
--! expect sim
--> open	1

--! expect app
--> ready
