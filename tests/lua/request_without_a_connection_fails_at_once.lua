-- Unless it is told to wait for one: then it goes out with the next connection.

--! scenario
sim.next { refuse = "starting", retry_after_ms = 200 }
sim.on("echo", function(params) return params end)

--! app app
gw.on("@start", function()
  local answer, err = gw.send("echo", {})
  print(answer, err.code, gw.info().state)
end)

gw.once("@closed", function()
  local _, err = gw.send("echo", {}, { wait = 0.01 })
  print(err.code)
  local answer = gw.send("echo", { n = 1 }, { wait = 30 })
  print("answered", answer.n, gw.info().state)
end)

--! expect app
--> nil	NOT_CONNECTED	connecting
--> NOT_CONNECTED
--> answered	1	ready
