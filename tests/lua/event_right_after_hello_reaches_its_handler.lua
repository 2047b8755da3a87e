-- The gateway sends an event in the same breath as hello-ok, before the app's first request has been answered, or even made.
-- The handler is there already, since the main chunk ran before the connection was opened.

--! scenario
sim.on("@ready", function(peer)
  sim.emit("early", { n = 1 }, peer) -- hello-ok was written just before
  sim.emit("early", { n = 2 }, peer)
end)

sim.on("first.request", function(_, peer)
  sim.emit("early", { n = 3 }, peer)
  return { answered = true }
end)

--! app app
gw.on("@ready", function(hello)
  print("ready", hello.connection)
  local answer = gw.send("first.request")
  print("answered", answer.answered)
end)

gw.on("early", function(payload, event)
  print("early", payload.n, event.connection)
end)

--! expect app
--> ready	1
--> early	1	1
--> early	2	1
--> early	3	1
--> answered	true
