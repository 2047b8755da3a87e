-- The app gets the gateway's error, the log names the scope and the setting that grants it.

--! sim: --protocol 4
--! run: --scopes operator.read
--! app app
gw.on("@ready", function()
  local _, err = gw.send("chat.send", { sessionKey = "main", message = "hi", idempotencyKey = "k" })
  print(err.code, err.message)
end)

--! log: "warn".*operator\.write.*scopes
--! expect app
--> FORBIDDEN	missing scope: operator.write
