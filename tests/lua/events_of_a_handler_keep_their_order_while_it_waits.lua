-- One handler takes its events one after the other, also when it waits for an answer, and whatever the answers' order is.

--! scenario
sim.on("start", function(_, peer)
  for n = 1, 4 do sim.emit("work", { n = n }, peer) end
  return true
end)

sim.on("slow", function(params)
  task.sleep(params.n == 1 and 0.2 or 0) -- the first answer takes longest
  return { n = params.n }
end)

--! app app
gw.on("@ready", function() gw.send("start") end)

gw.on("work", function(payload)
  print("begin", payload.n)
  print("end", gw.send("slow", { n = payload.n }).n)
end)

--! expect app
--> begin	1
--> end	1
--> begin	2
--> end	2
--> begin	3
--> end	3
--> begin	4
--> end	4
