-- An app that waits in a handler for longer than the host runs: what came meanwhile is not handled any more, and the log says how much.

--! timeout: 60
--! scenario
sim.on("flood", function(_, peer)
  task.spawn(function()
    for n = 1, 20000 do sim.emit("drop", { n = n }, peer) end
    sim.emit("end", {}, peer)
  end)
  return true
end)

--! app sleeper
gw.on("drop", function() task.sleep(3600) end)

--! app other
gw.on("@ready", function() gw.send("flood") end)
gw.on("end", function() print("end") end)

--! expect sleeper
--! expect other
--> end

--! after SIGTERM
--! log: "warn","app":"sleeper","message":"\d+ events that waited for their handler are not handled any more
--! log: "warn","app":"sleeper","message":"\d+ messages that waited beyond the inbox are not handled any more
