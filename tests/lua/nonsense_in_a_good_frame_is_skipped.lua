-- Texts that are no JSON, of an unknown type, or half right: looked over at debug level, and the connection goes on.

--! run: --log-level debug
--! scenario
sim.on("talk", function(_, peer)
  peer:nonsense()
  peer:text("[]")
  peer:text('{"type":"song"}')
  peer:text('{"type":"event"}')
  peer:text('{"type":"event","event":"@stop","payload":{}}')
  peer:text('{"type":"event","event":"step","payload":{"a":tru}}')
  peer:text('{"type":"event","event":"step","payload":{"n":1,"n":2},"more":[{}]}')
  return true
end)

--! app app
gw.on("@ready", function() print("still there", gw.send("talk")) end)
gw.on("@stop", function() print("stop") end)
gw.on("@closed", function() print("closed") end)
gw.on("step", function(payload) print("step", payload.n) end)

--! allow-errors
--! expect app
--> step	2
--> still there	true
--! after SIGTERM
--! expect app
--> stop
