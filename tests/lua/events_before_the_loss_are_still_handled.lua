-- What had arrived when the connection ended is handled, in order, and tells which connection it came on; @closed and @ready keep their
-- places between the events.

--! scenario
sim.on("@ready", function(peer)
  for n = 1, 3 do sim.emit("step", { n = n }, peer) end
  if peer.number == 1 then peer:close(1013, "again") end
end)

--! app app
local seen = {}

gw.on("step", function(payload, event)
  seen[#seen + 1] = event.connection .. "." .. payload.n
  task.sleep(0.01)
  if event.connection == 2 and payload.n == 3 then print(table.concat(seen, " ")) end
end)
for _, name in ipairs { "@ready", "@closed" } do
  gw.on(name, function(payload) seen[#seen + 1] = name .. (payload.connection or "") end)
end
gw.on("step", function(payload, event) seen[#seen + 1] = ("(%d.%d)"):format(event.connection, payload.n) end)

--! expect app
--> @ready1 1.1 (1.1) (1.2) (1.3) @closed 1.2 1.3 @ready2 2.1 (2.1) (2.2) (2.3) 2.2 2.3
