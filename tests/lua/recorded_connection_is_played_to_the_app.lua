-- The frames of a real gateway: hello-ok, events, answers, and the close at the end of the recording.

--! scenario
sim.replay(os.getenv "FIXTURES" .. "/frames/v4-sigterm.jsonl", { speed = 0 })

--! app app
local names = {}

gw.on("*", function(_, event) names[#names + 1] = event.name end)
gw.once("@ready", function(hello) print("ready", hello.protocol, hello.server.version) end)
gw.once("@closed", function(how) print("closed", how.code, how.reason, table.concat(names, " ")) end)

--! expect app
--> ready	4	2026.9.6
--> closed	1012	service restart	health tick shutdown
