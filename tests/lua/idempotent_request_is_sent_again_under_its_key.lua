-- A request that may be sent twice survives the loss of the connection: the same key, and one answer.

--! scenario
local first

sim.on("charge", function(params, peer)
  if not first then
    first = params.idempotencyKey
    peer:close(1013, "busy")
    return true
  end
  return { same = params.idempotencyKey == first, length = #first, amount = params.amount }
end)

--! app app
gw.once("@ready", function()
  local answer, err = gw.send("charge", { amount = 5 }, { idempotent = true })
  print(answer and answer.same, answer and answer.length, answer and answer.amount, err)
end)

gw.once("@ready", function() -- its own key is kept
  gw.on("@ready", function()
    print(gw.send("charge", { idempotencyKey = "mine" }, { idempotent = true }).same)
  end)
end)

--! expect app
--> true	36	5	nil
--> false
