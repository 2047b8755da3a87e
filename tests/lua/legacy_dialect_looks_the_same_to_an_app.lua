-- `params` on events, `result` on answers, numbers for errors, hello-ok without a type: the app sees none of it.

--! sim: --legacy
--! scenario
sim.on("echo", function(params) return params end)
sim.on("fail", function() return nil, { code = "UNAVAILABLE", message = "not today" } end)
sim.on("play", function(_, peer)
  sim.emit("step", { n = 1, list = json.array() }, peer)
  return true
end)

--! app app
gw.on("@ready", function(hello)
  print("ready", hello.protocol, #hello.methods > 10, #hello.events > 10, #hello.conn_id)
  print(json.encode(gw.send("echo", { list = json.array() })))
  local _, err = gw.send("fail")
  print(err.code, err.message)
  gw.send("play")
end)
gw.on("step", function(payload, event) print("step", payload.n, json.encode(payload.list), math.type(event.seq)) end)

--! expect app
--> ready	3	true	true	36
--> {"list":[]}
--> 503	not today
--> step	1	[]	integer
