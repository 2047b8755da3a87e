-- Neither ticks nor anything else for two intervals: the host closes with 4000 and connects again, also while a request waits.

--! sim: --tick-ms 300
--! scenario
sim.on("quiet", function(_, peer)
  peer:silence()
  return true
end)

sim.on("@closed", function(peer) print("lost", peer.number) end)

--! app app
gw.on("@ready", function(hello)
  print("ready", hello.connection, hello.policy.tickIntervalMs)
  if hello.connection > 1 then return end
  local _, err = gw.send("quiet")
  print("request", err.code, err.sent)
end)

gw.on("@closed", function(how) print("closed", how.code) end)

--! expect app
--> ready	1	300
--> closed	4000
--> request	DISCONNECTED	true
--> ready	2	300
