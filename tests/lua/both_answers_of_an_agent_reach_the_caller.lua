-- `agent` answers twice under one id. With `final` the caller sees both; without, the first one is the answer, and the second no surprise.

--! scenario
sim.model(function(message) return "heard: " .. message end)
sim.on("ping", function() return true end)

--! app app
gw.on("@ready", function()
  local params = { message = "hello", idempotencyKey = "k1" }
  local final = gw.send("agent", params, {
    final = true,
    on_accepted = function(accepted) print("accepted", accepted.status, accepted.runId) end,
  })
  print("final", final.status, final.result.payloads[1].text)

  local first = gw.send("agent", { message = "again", idempotencyKey = "k2" })
  print("first", first.status)
end)

gw.on("chat", function(chat)
  if chat.state == "final" and chat.runId == "k2" then
    task.sleep(0) -- the second answer is on its way
    print("still there", gw.send("ping"))
  end
end)

--! expect app
--> accepted	accepted	k1
--> final	ok	heard: hello
--> first	accepted
--> still there	true
