-- A thousand requests at once: the gateway has 128 of them at a time, in the order in which they were made, and every one is answered.

--! scenario
local at_work, most, last, in_order, open = 0, 0, 0, true, false

sim.on("work", function(params)
  at_work = at_work + 1
  most = math.max(most, at_work)
  in_order = in_order and params.n == last + 1
  last = params.n
  if at_work == 128 then timer.after(0.1, function() open = true end) end -- would more come, they came by then
  while not open do task.sleep(0.01) end
  at_work = at_work - 1
  return params
end)
sim.on("report", function() return { most = most, in_order = in_order } end)

--! app app
gw.on("@ready", function()
  local all = {}
  for n = 1, 1000 do
    all[n] = function() return gw.send("work", { n = n }).n == n end
  end
  local got = task.all(all)
  local right = 0
  for _, fine in ipairs(got) do right = right + (fine and 1 or 0) end
  local report = gw.send("report")
  print("answered", right, "at a time", report.most, "in order", report.in_order)
end)

--! expect app
--> answered	1000	at a time	128	in order	true
