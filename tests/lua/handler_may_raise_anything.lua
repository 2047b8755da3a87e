-- A table, nil, an error that cannot be shown, endless recursion: each is logged, and the next event is handled.

--! allow-errors
--! scenario
sim.on("play", function(_, peer)
  for n = 1, 6 do sim.emit("step", { n = n }, peer) end
  return true
end)

--! app app
local function deeper(n) return 1 + deeper(n + 1) end

local raise = {
  function() error({ code = "MINE" }) end,
  function() error(nil) end,
  function() error(setmetatable({}, { __tostring = function() error("again") end })) end,
  function() deeper(1) end,
  function() coroutine.yield() end,
}

gw.on("@ready", function() gw.send("play") end)
gw.on("step", function(payload)
  print("step", payload.n)
  if raise[payload.n] then raise[payload.n]() end
end)

--! log: step \(app\.lua:22\) failed: app\.lua:11: stack overflow
--! expect app
--> step	1
--> step	2
--> step	3
--> step	4
--> step	5
--> step	6
