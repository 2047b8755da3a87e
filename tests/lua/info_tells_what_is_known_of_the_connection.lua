-- gw.info is of the message that is being handled: ready in an event's handler, waiting once the connection is lost.

--! run: --scopes operator.read
--! scenario
sim.on("bye", function(_, peer)
  peer:close(1013, "bye")
  return true
end)

--! app app
local function show(what)
  local info = gw.info()
  local policy = info.policy and info.policy.tickIntervalMs
  print(what, info.state, info.connection, info.protocol, info.server_version, #(info.scopes or {}), policy)
end

show("loading")
gw.once("@ready", function(hello)
  show("ready")
  local info = gw.info()
  print(info.conn_id == hello.conn_id, #info.methods == #hello.methods, #info.events == #hello.events, info.scopes[1])
  gw.send("bye")
end)
gw.once("@closed", function() show("closed") end)

--! expect app
--> loading	stopped	nil	nil	nil	0	nil
--> ready	ready	1	4	2026.9.6	1	30000
--> true	true	true	operator.read
--> closed	waiting	1	nil	nil	0	nil
