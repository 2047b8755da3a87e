-- However a connection ends, the host is back by itself, and every handler gets every event once.

--! scenario
local ends = {
  function(peer) peer:close(1013, "try again later") end,
  function(peer) peer:close(1012, "service restart") end,
  function(peer) peer:drop() end,
}

sim.on("hello", function(params, peer)
  sim.emit("numbered", { connection = params.connection }, peer)
  return true
end)

sim.on("next", function(params, peer)
  if ends[params.connection] then timer.after(0, function() ends[params.connection](peer) end) end
  return true
end)

--! app app
gw.on("@ready", function(hello) gw.send("hello", { connection = hello.connection }) end)

gw.on("numbered", function(payload, event)
  print("event", payload.connection, event.connection)
  gw.send("next", payload)
end)

gw.on("@closed", function(how) print("closed", how.code) end)

--! expect app
--> event	1	1
--> closed	1013
--> event	2	2
--> closed	1012
--> event	3	3
--> closed	1006
--> event	4	4
