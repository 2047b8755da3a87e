-- What an app puts into gw.state is there again when the host has been stopped and started; what cannot be carried is refused at once.

--! restart: "message":"run\\t1"
--! app app
local runs = (gw.state.runs or 0) + 1
gw.state.runs = runs
gw.state.tree = gw.state.tree or { list = json.array(), deep = { n = 9007199254740993, f = 1.0 } }
gw.state.tree.deep.n = gw.state.tree.deep.n + 1

print("tree", json.encode(gw.state.tree.list), gw.state.tree.deep.n, gw.state.tree.deep.f)
print("function", (select(2, pcall(function() gw.state.fn = print end)):gsub("^%S+ ", "")))
gw.on("@ready", function() print("run", runs) end)
gw.on("@stop", function() gw.state.stopped = (gw.state.stopped or 0) + 1 end)
if runs > 1 then print("stopped", gw.state.stopped) end

--! expect app
--> tree	[]	9007199254740994	1.0
--> function	gw.state.fn: a function has no JSON form, and gw.state holds plain data only
--> run	1
--> tree	[]	9007199254740995	1.0
--> function	gw.state.fn: a function has no JSON form, and gw.state holds plain data only
--> stopped	1
--> run	2
