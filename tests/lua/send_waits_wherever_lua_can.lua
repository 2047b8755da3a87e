-- Inside pcall, metamethods, iterators and __close; where it cannot (table.sort, a coroutine of the script) it says so.

--! scenario
sim.on("echo", function(params) return params end)

--! app app
local function echo(n) return gw.send("echo", { n = n }).n end

gw.on("@ready", function()
  print("pcall", pcall(echo, 1))
  print("error", pcall(function() error(echo(2)) end))
  local proxy = setmetatable({}, {
    __index = function(_, n) return echo(n) end,
    __add = function() return echo(4) end,
  })
  print("metamethods", proxy[3], proxy + 1)
  local function following(_, last) return last < 6 and echo(last + 1) or nil end
  for n in following, nil, 4 do print("iterator", n) end
  do
    local _ <close> = setmetatable({}, { __close = function() print("close", echo(7)) end })
  end
  local function sort() table.sort({ 2, 1 }, function(a, b) return echo(a) < echo(b) end) end
  print("sort", select(2, pcall(sort)):match("gw.send waits, which is not possible .* C calls back"))
  local resumed = coroutine.wrap(function() return select(2, pcall(echo, 8)) end)
  print("coroutine", resumed():match("gw.send waits, which a coroutine made by the script cannot"))
end)

--! expect app
--> pcall	true	1
--> error	false	2
--> metamethods	3	4
--> iterator	5
--> iterator	6
--> close	7
--> sort	gw.send waits, which is not possible inside a function that C calls back
--> coroutine	gw.send waits, which a coroutine made by the script cannot
