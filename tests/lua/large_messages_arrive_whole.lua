-- Megabytes in an event, in params and in an answer.

--! scenario
sim.on("play", function(params, peer)
  sim.emit("large", { text = ("0123456789abcdef"):rep(1 << 18) }, peer)
  return { text = params.text .. params.text }
end)

--! app app
gw.on("@ready", function()
  local answer = gw.send("play", { text = ("ü"):rep(1 << 20) })
  print("answer", #answer.text, answer.text == ("ü"):rep(2 << 20))
end)
gw.on("large", function(payload) print("event", #payload.text, payload.text == ("0123456789abcdef"):rep(1 << 18)) end)

--! expect app
--> event	4194304	true
--> answer	4194304	true
