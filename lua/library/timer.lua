---@meta
-- Functions that are called at some time. Each call is a task of its own, so it may wait. Timers that are set in the main chunk count from there.
timer = {}

---@class timer.Timer
local Timer = {}

---It does not fire any more. A call that runs goes on.
---@return boolean cancelled  false if it was not set any more
function Timer:cancel() end

---Calls a function once.
---
---```lua
---timer.after(60, function() log.info("a minute later") end)
---```
---@param seconds number  from 0 on
---@param fn fun()
---@return timer.Timer
function timer.after(seconds, fn) end

---Calls a function again and again, first after `seconds`.
---
---It does not drift: the beats stay on the grid on which it was started. There is one call at a time: a beat that finds the last call still running is skipped.
---
---```lua
---timer.every(30, function()
---  local status = gw.send("status")
---  if status then gw.state.last = status end
---end)
---```
---@param seconds number  above 0
---@param fn fun()
---@return timer.Timer
function timer.every(seconds, fn) end

---@class timer.CronOptions
---@field missed? "skip"|"once"  beats that passed while the machine slept or the app was busy, or its last call still ran: left out (`"skip"`, the default), or made up for by one call (`"once"`, within a minute). Times at which the host did not run are left out

---Calls a function at the times of a cron expression, in the local time zone.
---
---Five fields: minute (0-59), hour (0-23), day of the month (1-31), month (1-12, `jan`-`dec`), weekday (0-7 or `sun`-`sat`; 0 and 7 are Sunday). Each is `*`, a value, a
---range `1-5`, a list `1,3-5`, and `*` and ranges with a step: `*/15`. Also `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. When day of the month and weekday are both
---given, either is enough. A date that does not exist (`0 0 30 2 *`) raises.
---
---When clocks change: a time that is skipped comes true right after the change, one that occurs twice the first time only. With `*` for the hour it means every so many
---minutes, and nothing is moved or left out.
---
---```lua
---timer.cron("0 9 * * mon-fri", function() report() end, { missed = "once" })
---```
---@param expression string
---@param fn fun()
---@param options? timer.CronOptions
---@return timer.Timer
function timer.cron(expression, fn, options) end
