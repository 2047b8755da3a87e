-- Half of a frame comes and nothing behind it: the tick watchdog ends the connection, and nothing of the frame is delivered.

--! sim: --tick-ms 300
--! scenario
sim.on("halve", function(_, peer)
  peer:half()
  sim.emit("step", { n = 1 }, peer)
  return true
end)

--! app app
gw.on("@ready", function(hello)
  print("ready", hello.connection)
  if hello.connection == 1 then print(select(2, gw.send("halve")).code) end
end)
gw.on("@closed", function(how) print("closed", how.code) end)
gw.on("step", function(payload) print("step", payload.n) end)

--! expect app
--> ready	1
--> closed	4000
--> DISCONNECTED
--> ready	2
