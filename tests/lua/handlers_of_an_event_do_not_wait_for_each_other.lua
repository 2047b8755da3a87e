-- They start in the order of their registration; one that waits keeps neither the others nor their next events.

--! scenario
local open = false

sim.on("start", function(_, peer)
  sim.emit("work", { n = 1 }, peer)
  sim.emit("work", { n = 2 }, peer)
  return true
end)
sim.on("gate", function()
  while not open do task.sleep(0.01) end
  return true
end)
sim.on("open", function()
  open = true
  return true
end)

--! app app
gw.on("@ready", function() gw.send("start") end)

gw.on("work", function(payload)
  print("first", payload.n)
  gw.send("gate")
end)
gw.on("work", function(payload) print("second", payload.n) end)
gw.on("wo*", function(payload)
  print("prefix", payload.n)
  if payload.n == 2 then gw.send("open") end
end)

--! expect app
--> first	1
--> second	1
--> prefix	1
--> second	2
--> prefix	2
--> first	2
