-- Of events that an app named for it only the newest are kept over the bound, where others wait; how many were dropped is told.

--! timeout: 60
--! file gatehouse.lua
--| return { apps = { app = { drop_oldest = { "load.*" }, drop_newest = { "noise" } } } }

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
sim.on("echo", function() return true end)

--! app app
local agents, in_order, has_ended = 0, true, false
local loads, noises = {}, {}

-- Handlers of different events do not wait for each other.
local function finish()
  if agents == 5000 and has_ended then print("all", in_order, #loads, loads[1], #noises) end
end

gw.on("@ready", function() gw.send("flood") end)
gw.on("agent", function(payload)
  agents = agents + 1
  in_order = in_order and payload.n == agents
  if payload.n == 1 then
    gw.send("echo") -- its answer comes behind all of them
    task.sleep(1.5) -- until the host has looked
  end
  finish()
end)
gw.on("load.*", function(payload) loads[#loads + 1] = payload.n end)
gw.on("noise", function(payload) noises[#noises + 1] = payload.n end)
gw.on("end", function()
  has_ended = true
  finish()
end)

--! log: "warn","app":"app","message":"it does not keep up: dropped so far are 999 events of drop_oldest and 1000 of drop_newest
--! expect app
--> all	true	1	1000	0
