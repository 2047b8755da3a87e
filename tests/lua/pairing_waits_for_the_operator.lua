-- A gateway that does not know the device: the host says what to run, once, looks again (here when it gets SIGHUP), and is in when the
-- operator has approved.

--! SIGHUP: waiting for pairing: run: openclaw devices approve [0-9a-f-]{36}
--! scenario
sim.pairing(true)
sim.on("@open", function(peer)
  if peer.number == 2 then print("approved", sim.approve()) end
end)

--! app app
gw.on("@paused", function(why)
  print("paused", why.code, (why.hint:gsub("%x+%-[%x-]+", "ID")), why.retry_ms)
end)
gw.on("@ready", function(hello) print("ready", hello.connection) end)

--! log: "warn".*waiting for pairing
--! expect sim
--> approved	1

--! expect app
--> paused	PAIRING_REQUIRED	run: openclaw devices approve ID	30000
--> ready	1
