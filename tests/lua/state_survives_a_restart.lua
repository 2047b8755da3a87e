-- What an app puts into gw.state is there again when the host has been stopped and started; what cannot be carried is refused at once.

--! restart: "message":"run\\t1"
--! app app
local runs = (gw.state.runs or 0) + 1
gw.state.runs = runs
local deepest = { n = 9007199254740993, f = 1.0, inf = 1/0, bytes = "\xff\0" }
gw.state.tree = gw.state.tree or { list = json.array(), deep = deepest }
gw.state.tree.deep.n = gw.state.tree.deep.n + 1
local mixed = { "one", [7] = "seven", [-1] = "minus", [2.5] = "half", [true] = "yes", shared = gw.state.tree }
gw.state.keys = gw.state.keys or mixed

local keys, deep = gw.state.keys, gw.state.tree.deep
print("tree", json.encode(gw.state.tree.list), deep.n, deep.f, deep.inf, deep.bytes == "\xff\0")
print("keys", keys[1], keys[7], keys[-1], keys[2.5], keys[true], keys.shared == gw.state.tree)
print("function", (select(2, pcall(function() gw.state.fn = print end)):gsub("^%S+ ", "")))
gw.on("@ready", function() print("run", runs) end)
gw.on("@stop", function() gw.state.stopped = (gw.state.stopped or 0) + 1 end)
if runs > 1 then print("stopped", gw.state.stopped) end

--! expect app
--> tree	[]	9007199254740994	1.0	inf	true
--> keys	one	seven	minus	half	yes	true
--> function	gw.state.fn is a function, and gw.state holds plain data only
--> run	1
--> tree	[]	9007199254740995	1.0	inf	true
--> keys	one	seven	minus	half	yes	true
--> function	gw.state.fn is a function, and gw.state holds plain data only
--> stopped	1
--> run	2
