-- The same app on a gateway of the generation before: connect, requests, an agent's run, events without numbers.

--! sim: --protocol 3
--! app app
gw.on("@ready", function(hello)
  print("ready", hello.protocol, hello.server.version, #gw.send("agents.list").agents)
  gw.send("sessions.subscribe")
  print("sent", gw.send("chat.send", { sessionKey = "main", message = "hi", idempotencyKey = "k" }).status)
end)

gw.on("sessions.changed", function(_, event)
  if event.seq then print("numbered") end
end)
gw.on("@gap", function() print("gap") end)
gw.on("chat", function(chat, event)
  if chat.state == "final" then print(chat.message.content[1].text, math.type(event.seq)) end
end)

--! expect app
--> ready	3	2026.5.7	1
--> sent	started
--> You said: hi -- end.	integer
