-- Everything from the challenge on is split into single bytes.

--! scenario
sim.next { split = true }
sim.on("play", function(_, peer)
  for n = 1, 3 do sim.emit("step", { n = n, text = ("ä€𝄞"):rep(n * 100) }, peer) end
  return { ok = true }
end)

--! app app
gw.on("@ready", function(hello)
  print("ready", #hello.snapshot.health.agents)
  print("played", gw.send("play").ok)
end)
gw.on("step", function(payload) print("step", payload.n, utf8.len(payload.text)) end)

--! expect app
--> ready	1
--> step	1	300
--> step	2	600
--> step	3	900
--> played	true
