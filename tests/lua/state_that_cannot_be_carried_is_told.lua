-- What a script hides in a table of gw.state and cannot be carried is an error in the log, with its place, and costs that field only.

--! restart: "message":"run\\t1"
--! allow-errors
--! app app
gw.state.runs = (gw.state.runs or 0) + 1
print("hidden", gw.state.hidden)
gw.state.hidden = { deep = {} }
gw.state.hidden.deep.f = print
gw.on("@ready", function() print("run", gw.state.runs) end)

--! log: "error","app":"app","message":"gw\.state\.hidden\.deep\.f is a function: gw\.state\.hidden is not saved"
--! expect app
--> hidden	nil
--> run	1
--> hidden	nil
--> run	2
