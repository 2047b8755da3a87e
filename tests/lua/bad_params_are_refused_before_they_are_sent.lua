-- What has no JSON form is told with its place; what is larger than the gateway takes, too; misuse raises.

--! file gatehouse.lua
--| return { apps = { app = { cpu = false } } }

--! scenario
sim.on("echo", function(params) return params end)

--! app app
gw.on("@ready", function()
  local _, err = gw.send("echo", { list = { 1, { f = print } } })
  print(err.code, err.message)
  print(select(2, gw.send("echo", { n = 0 / 0 })).code, select(2, gw.send("echo", { s = "\xff" })).code)
  local loop = {}
  loop.loop = loop
  print(select(2, gw.send("echo", loop)).code)
  print(select(2, gw.send("echo", { big = ("x"):rep(26 << 20) })).code)
  print((select(2, pcall(gw.send, "echo", {}, { tiemout = 1 }))))
  print((select(2, pcall(gw.send, 1))))
  print(select(2, gw.send("echo", { 1, 2 })).code)
  print("still there", gw.send("echo", { n = 1 }).n)
end)

--! expect app
--> BAD_PARAMS	params.list[2].f: a function has no JSON form
--> BAD_PARAMS	BAD_PARAMS
--> BAD_PARAMS
--> TOO_LARGE
--> bad argument #3 to 'gw.send' (there is no option 'tiemout'; known: timeout, wait, final, on_accepted, idempotent)
--> bad argument #1 to 'gw.send' (string expected, got number)
--> BAD_PARAMS
--> still there	1
