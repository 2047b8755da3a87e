---@meta
-- Work beside the handlers. A task may wait (`gw.send`, `task.sleep`), and others run meanwhile.
--
-- Coroutines that a script makes itself (`coroutine.create`, `coroutine.wrap`) work as ever, as generators for example, but cannot wait for
-- anything outside of the app: use a task for that. An error that a task raises is logged with a traceback.
task = {}

---Runs a function as a task. It starts when the running one waits or ends; in the main chunk: once the app runs.
---
---```lua
---task.spawn(function(key)
---  task.sleep(5)
---  gw.send("sessions.describe", { key = key })
---end, payload.sessionKey)
---```
---@param fn fun(...: any)
---@param ... any  its arguments
---@return task.Task
function task.spawn(fn, ...) end

---What task.spawn gives. Letting go of it does not end it.
---@class task.Task
local Task = {}

---Cancels the task: what it waits for ends with `nil, err`, where `err.code` is `"CANCELLED"`, and the next time that it wants to wait, that raises. A task that has not
---started still does. A task does not cancel itself.
---@return boolean cancelled  false if it had ended already
function Task:cancel() end

---Waits.
---
---```lua
---task.sleep(0.5)
---```
---@param seconds number  from 0 on; 0 lets others run
---@return true? slept
---@return gw.Error? err  when the task was cancelled or the app stops: `CANCELLED`
function task.sleep(seconds) end

---Runs functions side by side and waits for all of them.
---
---The first that fails ends the whole, and the others are cancelled: one that raises makes task.all raise the same, with the traceback of where it was; one
---that returns `nil, err` makes it return that.
---
---```lua
---local got, err = task.all {
---  agents = function() return gw.send("agents.list") end,
---  sessions = function() return gw.send("sessions.list") end,
---}
---if not got then return log.warn("sync failed", err) end
---log.info("synced", { agents = #got.agents.agents })
---```
---@param functions table<any, fun(): any>  a list, or with names
---@return table? results  the first result of each, under the same key
---@return any err  with nil before it
function task.all(functions) end

---Runs functions side by side until the first of them ends, and cancels the others.
---
---```lua
---local answer, err = task.race {
---  function() return gw.send("agent", params, { final = true, timeout = 600 }) end,
---  function() task.sleep(60) return nil, "no answer within a minute" end,
---}
---```
---@param functions table<any, fun(): ...>  at least one
---@return any ...  what the first one returned; if it raised, that is raised
function task.race(functions) end
