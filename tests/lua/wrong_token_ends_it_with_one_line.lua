-- Trying again would change nothing: one error that says what to compare, exit status 1, and the token is nowhere to be read.

--! env: OPENCLAW_GATEWAY_TOKEN=not-the-right-one
--! exit: 1
--! ends: by itself
--! allow-errors
--! app app
gw.on("@paused", function(why) print("paused", why.code, why.retry_ms) end)
gw.on("@stop", function() print("stop") end)

--! log: "error".*token mismatch.*AUTH_TOKEN_MISMATCH.*OPENCLAW_GATEWAY_TOKEN
--! not-log: not-the-right-one
--! not-log: next try
--! expect app
--> paused	AUTH_TOKEN_MISMATCH	nil
--> stop
