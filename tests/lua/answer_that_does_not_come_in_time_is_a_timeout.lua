-- The answer that comes too late is nobody's; the connection and the requests after it do not mind.

--! scenario
sim.on("echo", function(params) return params end)
sim.answer("echo", { late = 0.3 })

--! app app
gw.on("@ready", function()
  local _, err = gw.send("echo", { n = 1 }, { timeout = 0.1 })
  print(err.code, err.method)
  task.sleep(0.3) -- the late answer comes meanwhile
  print(gw.send("echo", { n = 2 }).n)
end)

--! expect app
--> TIMEOUT	echo
--> 2
