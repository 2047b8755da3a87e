-- A proxy that answers 503 with a text: the log shows both, and the next try is let in.

--! SIGHUP: 503
--! scenario
sim.next { http = 503, body = "the queue is full\nmore" }

--! app app
gw.on("@closed", function(how) print(how.code, how.reason:match("HTTP.*")) end)
gw.on("@ready", function(hello) print("ready", hello.connection) end)

--! log: "warn".*503.*the queue is full.*next try in
--! expect app
--> 0	HTTP 503: the queue is full
--> ready	1
