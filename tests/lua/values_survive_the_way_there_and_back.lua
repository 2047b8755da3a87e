-- Integers of 64 bits, floats, null, empty arrays and objects, nesting, text of any kind: the same after event, request and answer.

--! scenario
local texts = {
  '{"i":[0,-1,9007199254740993,9223372036854775807,-9223372036854775808]}',
  '{"f":[0.5,1e+300,-0.0,1.0]}',
  '{"n":[null,{"deep":null}]}',
  '{"a":[],"o":{},"nested":[[],{},[[]],{"o":{"a":[]}}]}',
  '{"t":["","\\u0000\\u001f\\"\\\\/","äöü €","𝄞\\n"]}',
}

local function same(a, b)
  if type(a) ~= "table" then return a == b and math.type(a) == math.type(b) end
  if type(b) ~= "table" then return false end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return json.encode(a) == json.encode(b) or next(a) ~= nil
end

sim.on("play", function(_, peer)
  for n, text in ipairs(texts) do peer:event("value", ('{"n":%d,"value":%s}'):format(n, text)) end
  return true
end)

sim.on("echo", function(params)
  print(params.n, same(params.value, json.decode(texts[params.n])))
  return params.value
end)

--! app app
gw.on("@ready", function() gw.send("play") end)
gw.on("value", function(payload)
  local back = gw.send("echo", payload)
  local number = back.i and back.i[3] or back.f and back.f[4] or false
  print(payload.n, #json.encode(back) == #json.encode(payload.value), math.type(number))
end)

--! expect sim
--> 1	true
--> 2	true
--> 3	true
--> 4	true
--> 5	true

--! expect app
--> 1	true	integer
--> 2	true	float
--> 3	true	nil
--> 4	true	nil
--> 5	true	nil
