-- A handler that loops is interrupted after its CPU time, however it holds on to it; the log has the line that ran, and the app goes on.

--! not-under: tsan
--! allow-errors
--! file gatehouse.lua
--| return { apps = { looper = { cpu = 0.2 } } }

--! scenario
sim.on("loop", function(_, peer)
  sim.emit("loop", {}, peer)
  return true
end)

--! app looper
local function endless()
  while true do
    pcall(function()
      while true do end
    end)
  end
end

gw.on("@ready", function() gw.send("loop") end)
gw.on("loop", function()
  local ok = xpcall(coroutine.wrap(endless), function() print("handled") end)
  print("goes on", ok)
end)
gw.on("loop", function() print("next handler", gw.send("health").ok) end)

--! log: "error","app":"looper","message":"loop \(looper\.lua:24\) failed: looper\.lua:18: CPU budget exceeded: .* has run for 0\.2 s of CPU time
--! log: "traceback":"stack traceback:\\n\\tlooper\.lua:18: in function <looper\.lua:17>\\n\\t\[C\]: in global 'pcall'\\n\\tlooper\.lua:17: in function <looper\.lua:15>\\n.*looper\.lua:25: in
--! expect looper
--> next handler	true
