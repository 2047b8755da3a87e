-- task.all gives what each returned, or the first error and cancels the others; task.race gives what was first.

--! scenario
sim.on("echo", function(params)
  task.sleep(params.late or 0)
  return params
end)
sim.on("never", function() task.sleep(3600) end)

--! app app
gw.on("@ready", function()
  local before = gw.now()
  local got = task.all {
    slow = function() return gw.send("echo", { n = 1, late = 0.2 }).n end,
    fast = function() return gw.send("echo", { n = 2 }).n end,
    function() return "at once" end,
  }
  print("all", got.slow, got.fast, got[1], gw.now() - before >= 0.2)

  local cancelled
  local nothing, err = task.all {
    function()
      cancelled = select(2, gw.send("never")).code
      return true
    end,
    function() return gw.send("no.such.method") end,
  }
  task.sleep(0)
  print("first error", nothing, err.code, cancelled)

  local _, raised = pcall(task.all, { function() error("boom", 0) end, function() gw.send("never") end })
  print("raised", raised:match("^%a+"))

  print("race", task.race {
    function() return gw.send("never") end,
    function()
      task.sleep(0.01)
      return "time is up", 2
    end,
  })

  local sleeper = task.spawn(function() print("slept", select(2, task.sleep(3600)).code) end)
  task.sleep(0)
  print("cancel", sleeper:cancel())
  task.sleep(0)
  print("again", sleeper:cancel())
end)

--! expect app
--> all	1	2	at once	true
--> first error	nil	INVALID_REQUEST	CANCELLED
--> raised	boom
--> race	time is up	2
--> cancel	true
--> slept	CANCELLED
--> again	false
