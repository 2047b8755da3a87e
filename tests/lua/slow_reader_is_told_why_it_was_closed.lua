-- A gateway that closes the connection since too much piled up for us: the log says so, and the host is back with a new connection.

--! scenario
sim.on("pile", function(_, peer)
  peer:close(1008, "slow consumer")
end)

--! app app
local connections = 0

gw.on("@ready", function()
  connections = connections + 1
  print("ready", connections)
  if connections == 1 then gw.send("pile", {}) end
end)
gw.on("@closed", function(payload) print("closed", payload.code, payload.reason) end)

--! log: "warn","message":"connection lost: the gateway closed it because it was not read fast enough \(1008: slow consumer\)
--! expect app
--> ready	1
--> closed	1008	slow consumer
--> ready	2
