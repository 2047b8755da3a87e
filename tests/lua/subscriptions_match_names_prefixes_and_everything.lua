-- A name, a prefix, "*" for all of the gateway's events, none of which is one of the host's; once is once, cancelled is silent.

--! scenario
sim.on("play", function(_, peer)
  for _, name in ipairs { "session.message", "session.tool", "sessions", "session.message" } do
    sim.emit(name, {}, peer)
  end
  sim.emit("last", {}, peer)
  return true
end)

--! app app
local counts = {}

local function count(pattern)
  return function(_, event)
    if event.name ~= "presence" and event.name ~= "health" then counts[pattern] = (counts[pattern] or 0) + 1 end
    assert(event.name:sub(1, 1) ~= "@")
  end
end

for _, pattern in ipairs { "session.message", "session.*", "sess*", "*", "none" } do gw.on(pattern, count(pattern)) end
gw.once("session.*", count("once"))
gw.on("session.*", count("cancelled")):cancel()
local itself
itself = gw.on("session.message", function()
  counts.itself = (counts.itself or 0) + 1
  assert(itself:cancel() and not itself:cancel())
end)
gw.on("session.tool", function() gw.on("session.message", count("added")) end)

gw.on("@ready", function() gw.send("play") end)
gw.on("last", function()
  local lines = {}
  for pattern, n in pairs(counts) do lines[#lines + 1] = pattern .. "=" .. n end
  table.sort(lines)
  print(table.concat(lines, " "))
end)

--! expect app
--> *=5 added=1 itself=1 once=1 sess*=4 session.*=3 session.message=2
