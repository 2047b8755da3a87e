-- A gateway that says how long to wait is obeyed.

--! scenario
sim.next { refuse = "rate_limited", retry_after_ms = 321 }

--! app app
gw.on("@closed", function(how) print(how.error.details.code, how.error.retryable, how.retry_ms) end)
gw.on("@ready", function(hello) print("ready", hello.connection) end)

--! log: next try in 0\.3 s
--! expect app
--> AUTH_RATE_LIMITED	true	321
--> ready	1
