-- timer.every does not drift, skips beats while its function still runs, and ends when it is cancelled. Timers of the main chunk count
-- from there.

--! app app
local begun, beats, running = gw.now(), 0, 0
local BEAT = 0.05

local function since() return gw.now() - begun + 0.001 end -- timers are exact to the millisecond

local every
every = timer.every(BEAT, function()
  running = running + 1
  assert(running == 1, "two calls at a time")
  assert(since() >= (beats + 1) * BEAT, "too early")
  beats = beats + 1
  if beats == 2 then task.sleep(2.5 * BEAT) end -- two beats are left out
  running = running - 1
  if beats == 6 then
    print("every", since() >= 8 * BEAT, every:cancel(), every:cancel())
    timer.after(3 * BEAT, function() print("beats", beats) end)
  end
end)

local order = {}
for _, seconds in ipairs { 0.03, 0.01, 0.02, 0 } do
  timer.after(seconds, function() order[#order + 1] = seconds end)
end
local never = timer.after(0.02, function() print("cancelled, and yet") end)
never:cancel()
timer.after(0.04, function() print("order", table.concat(order, " ")) end)

--! expect app
--> order	0 0.01 0.02 0.03
--> every	true	true	false
--> beats	6
