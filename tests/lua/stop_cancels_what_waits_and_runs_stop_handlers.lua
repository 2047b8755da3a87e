-- SIGTERM: requests and sleeps end with CANCELLED, @stop may still ask the gateway, timers fire no more, the connection closes with 1000.

--! scenario
sim.on("never", function() task.sleep(3600) end)
sim.on("last.words", function(params) return { heard = params.text } end)
sim.on("@closed", function(_, code) print("closed", code) end)

--! app app
local ended = {}

local function note(what, value, err)
  ended[#ended + 1] = ("%s %s %s"):format(what, value, err.code)
end

gw.on("@ready", function()
  task.spawn(function() note("sleep", task.sleep(3600)) end)
  timer.every(3600, function() print("timer") end)
  task.sleep(0)
  print("waiting")
  note("request", gw.send("never"))
end)

gw.on("@stop", function()
  table.sort(ended)
  print("stop", table.concat(ended, ", "))
  print("heard", gw.send("last.words", { text = "bye" }).heard)
end)

--! expect app
--> waiting

--! after SIGTERM
--! not-log: did not (stop|end)
--! expect app
--> stop	request nil CANCELLED, sleep nil CANCELLED
--> heard	bye

--! expect sim
--> closed	1000
