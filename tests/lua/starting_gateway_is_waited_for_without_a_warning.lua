-- UNAVAILABLE while it starts (close 1013) is nothing to worry about, and does not lengthen the backoff: after three of them the wait is
-- still what the gateway says.

--! scenario
sim.next { refuse = "starting", retry_after_ms = 110, times = 3 }

--! app app
gw.on("@closed", function(how) print(how.error.code, how.retry_ms) end)
gw.on("@ready", function(hello) print("ready", hello.connection) end)

--! not-log: "warn"
--! expect app
--> UNAVAILABLE	110
--> UNAVAILABLE	110
--> UNAVAILABLE	110
--> ready	1
