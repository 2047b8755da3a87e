-- With `queue = 2` the oldest of the waiting events makes room for the newest.

--! scenario
sim.on("play", function(_, peer)
  for n = 1, 6 do sim.emit("step", { n = n }, peer) end
  sim.emit("last", {}, peer)
  return true
end)
local open = false
sim.on("gate", function()
  while not open do task.sleep(0.01) end
  return true
end)
sim.on("open", function()
  open = true
  return true
end)

--! app app
gw.on("@ready", function() gw.send("play") end)
gw.on("step", function(payload)
  print("step", payload.n)
  gw.send("gate")
end, { queue = 2 })
gw.on("last", function() gw.send("open") end)

--! expect app
--> step	1
--> step	5
--> step	6
