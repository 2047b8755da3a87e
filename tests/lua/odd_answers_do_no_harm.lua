-- Answers that never come, come twice, or under an id that nobody asked with: every request ends once, with its own answer.

--! run: --log-level debug
--! scenario
sim.on("echo", function(params) return params end)
sim.on("fault", function(params)
  sim.answer("echo", params)
  return true
end)

--! app app
gw.on("@ready", function()
  gw.send("fault", { never = true })
  print("never", select(2, gw.send("echo", {}, { timeout = 0.1 })).code)
  gw.send("fault", { unknown_id = true })
  print("unknown", select(2, gw.send("echo", {}, { timeout = 0.1 })).code)
  gw.send("fault", { twice = true })
  print("twice", gw.send("echo", { n = 1 }).n)
  print("after", gw.send("echo", { n = 2 }).n)
end)

--! log: a response to no request of ours
--! expect app
--> never	TIMEOUT
--> unknown	TIMEOUT
--> twice	1
--> after	2
