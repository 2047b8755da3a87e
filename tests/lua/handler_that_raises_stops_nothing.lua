-- Its error is in the log with file, line and traceback; the next handler, the next event and the other app go on.

--! allow-errors
--! scenario
sim.on("play", function(_, peer)
  for n = 1, 2 do sim.emit("step", { n = n }, peer) end
  return true
end)

--! app app
gw.on("@ready", function() gw.send("play") end)

local function deep(n)
  error("no step " .. n)
end
gw.on("step", function(payload)
  print("first", payload.n)
  if payload.n == 1 then deep(payload.n) end
end)
gw.on("step", function(payload) print("second", payload.n) end)

--! app other
gw.on("step", function(payload) print("step", payload.n) end)

--! log: "error","app":"app","message":"step \(app\.lua:16\) failed: app\.lua:14: no step 1".*stack traceback:.*app\.lua:18
--! expect app
--> first	1
--> second	1
--> first	2
--> second	2

--! expect other
--> step	1
--> step	2
