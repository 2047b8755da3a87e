-- Events with the same key wait for each other, those of other keys go by.

--! scenario
sim.on("start", function(_, peer)
  for _, name in ipairs { "a1", "a2", "b1", "b2" } do sim.emit("work", { key = name:sub(1, 1), name = name }, peer) end
  return true
end)

local open = false
sim.on("gate", function(params)
  if params.name == "b2" then open = true end
  while params.name == "a1" and not open do task.sleep(0.01) end -- the first is answered after the last
  return true
end)

--! app app
gw.on("@ready", function() gw.send("start") end)

gw.on("work", function(payload)
  assert(gw.send("gate", { name = payload.name }))
  print("done", payload.name)
end, { key = function(payload) return payload.key end })

--! expect app
--> done	b1
--> done	b2
--> done	a1
--> done	a2
