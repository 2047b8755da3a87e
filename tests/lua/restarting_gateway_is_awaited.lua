-- The event `shutdown`, close 1012, and a gateway that is starting for a while: one line each, no warning, and back again.

--! scenario
sim.on("restart", function()
  sim.next { refuse = "starting", retry_after_ms = 100 }
  task.spawn(sim.shutdown, "updating")
  return true
end)

--! app app
gw.on("@ready", function(hello)
  print("ready", hello.connection)
  if hello.connection == 1 then gw.send("restart") end
end)
gw.on("shutdown", function(payload) print("shutdown", payload.reason) end)
gw.on("@closed", function(how) print("closed", how.error and how.error.code or how.code) end)

--! log: "info".*the gateway is going down: updating
--! log: "info".*connection lost \(1012: service restart\); next try in
--! not-log: "warn"
--! expect app
--> ready	1
--> shutdown	updating
--> closed	1012
--> closed	UNAVAILABLE
--> ready	2
