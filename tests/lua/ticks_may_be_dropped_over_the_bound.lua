-- Of events that an app named for it only the newest are kept over the bound, where others wait; how many were dropped is told.

--! timeout: 60
--! file gatehouse.lua
return { apps = { app = { drop_oldest = { "load.*" }, drop_newest = { "noise" } } } }

--! scenario
sim.on("flood", function(_, peer)
  for n = 1, 5000 do sim.emit("agent", { n = n }, peer) end
  for n = 1, 1000 do
    sim.emit("load.now", { n = n }, peer)
    sim.emit("noise", { n = n }, peer)
  end
  sim.emit("end", {}, peer)
  return true
end)

--! app app
local agents, in_order = 0, true

gw.on("@ready", function() gw.send("flood") end)
gw.on("agent", function(payload)
  agents = agents + 1
  in_order = in_order and payload.n == agents
  local before = os.clock()
  while payload.n == 1 and os.clock() - before < 0.8 do end -- meanwhile all of them come
end)
gw.on("load.*", function(payload) print("load", payload.n) end)
gw.on("noise", function(payload) print("noise", payload.n) end)
gw.on("end", function()
  print("end", agents, in_order)
  task.sleep(1.5) -- until the host looks again
end)

--! log: "warn","app":"app","message":"it does not keep up: dropped so far are 999 events of drop_oldest and 1000 of drop_newest
--! expect app
--> load	1000
--> end	5000	true
