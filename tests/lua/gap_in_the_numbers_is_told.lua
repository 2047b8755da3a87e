-- A jump between two numbered events is a gap, and told before the event that shows it. An event that came twice is none, nor is the
-- first number of a connection.

--! scenario
sim.on("@ready", function(peer) peer:gap(40) end) -- this connection's numbers begin at 41
sim.on("play", function(_, peer)
  sim.emit("step", { n = 1 }, peer)
  peer:gap(3)
  sim.emit("step", { n = 2 }, peer)
  peer:duplicate()
  sim.emit("step", { n = 3 }, peer)
  sim.emit("step", { n = 4 }, peer)
  return true
end)

--! app app
local last

gw.on("@ready", function() gw.send("play") end)
gw.on("@gap", function(gap) print("gap", gap.expected - last, gap.received - last) end)
gw.on("step", function(payload, event)
  last = event.seq
  print("step", payload.n)
end)

--! log: "warn".*events were missed
--! expect app
--> step	1
--> gap	1	4
--> step	2
--> step	3
--> step	3
--> step	4
