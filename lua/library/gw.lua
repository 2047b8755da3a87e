---@meta
-- The gateway: its events, requests to it, and what the app keeps.
--
-- An app is a file, or a folder with `init.lua`. Its main chunk runs once, before the connection is opened for the first time: it registers
-- handlers and returns. From then on everything happens in handlers, timers and tasks, one at a time; there are no threads and no locks.
--
-- **Events of the host** begin with `@`:
--
-- | event | payload | when |
-- |---|---|---|
-- | `@start` | `generation`, `reason` | the app begins to take events; connected or not |
-- | `@ready` | `protocol`, `connection`, `conn_id`, `server`, `scopes`, `methods`, `events`, `policy`, `snapshot` | after every handshake, before any other event of that connection |
-- | `@closed` | `code`, `reason`, `retry_ms`, `error` | a connection ended, or could not be made; the host connects again by itself after `retry_ms` |
-- | `@paused` | `code`, `message`, `hint`, `retry_ms` | only the operator can help (pairing, wrong token); without `retry_ms` the host does not try again by itself |
-- | `@gap` | `expected`, `received`, `dropped` | events are missing between these two numbers: read again what you keep a copy of. With `dropped` the gateway sent them, but this app did not return for so long that its inbox was full, and that many were kept from it |
-- | `@stop` | `reason` | this load of the app is about to end: `"stop"` for good, `"reload"` since newer code has taken over (then `gw.state` can be read, no longer written). What waits has been cancelled and may not wait again, and no event is handled after it. A few seconds are left |
--
-- **Order.** For one handler events are handled in the order of their arrival, one after the other: the next one waits until the handler
-- returned, also while it waits for a response. Different handlers do not wait for each other; they start in the order of their registration.
-- A handler that raises is logged with a traceback and stops nothing.
--
-- **Failing.** An event whose handler raised is not handled again by itself. It is kept as a dead letter, with the traceback, as long as it is among the last 100 of its app (or
-- 1 MiB); with `dead_letters = true` in `gatehouse.lua` also when the host ends. The operator lists dead letters and puts them back: then that handler alone gets the event again,
-- behind what waits, with the `seq` and `received_ms` that it had. So a handler that does half of its work and raises may do that half twice: do last what must not be done twice.
-- A handler that fails ten times in a row (setting `quarantine`) is switched off for a second, then one call is a trial: after a failure it is off for twice as long, up to
-- five minutes, after a success it is on again. Events that come for it meanwhile are skipped and counted; those are no dead letters. Other handlers of the same event go on. All this is
-- about events of the gateway: handlers of host events, timers and tasks are called whatever they raise. After a reload every handler begins anew, and if more than 5 of the first
-- 20 handler calls fail (setting `rollback`), the app goes back to the files of the generation before.
--
-- **Falling behind.** When more than 4096 events or 2 MiB wait for an app, further ones wait on the disk, in order: it loses none, and no other app
-- waits for it. Answers to its own requests overtake them. At a bound of 1 GiB (setting `overflow_limit`), or at once with the setting
-- `overflow = "backpressure"`, nothing is read from the gateway until it has caught up. If none of its handlers comes to an end for 5 s
-- meanwhile, the other apps no longer wait for it: what it has not taken piles up to 131072 events or 64 MiB, further ones are kept from
-- it, and `@gap` tells how many when it goes on. Events of which only the newest matter can be named in `drop_oldest` or `drop_newest`.
--
-- **Errors.** What can go wrong at run time comes back as `nil, err`, where `err` is a [gw.Error](#gwerror). Misuse, such as a wrong type or a misspelt
-- option, raises.
gw = {}

---An error that came back as the second result. As text it is a sentence: `sessions.describe failed: UNAVAILABLE: try later`.
---
---Codes of the host: `NOT_CONNECTED`, `DISCONNECTED`, `TIMEOUT`, `CANCELLED`, `RELOADED`, `QUEUE_FULL`, `NO_MEMORY`, `TOO_LARGE`, `BAD_PARAMS`, `BAD_RESPONSE`. The gateway's keep what it
---sent: `INVALID_REQUEST`, `FORBIDDEN`, `UNAVAILABLE`, …
---@class gw.Error
---@field code string  what kind of error, for programs
---@field message string  what happened, for people
---@field method? string  the method of `gw.send`
---@field details? any  what the gateway added; `details.code` is often finer than `code`
---@field retryable? boolean  the same request may succeed later
---@field retry_after_ms? integer  milliseconds to wait before that
---@field sent? boolean  with `DISCONNECTED`: whether the request had been sent, so that it may have been carried out

---What a handler gets beside the payload.
---@class gw.Event
---@field name string  of the event, useful with a prefix
---@field seq? integer  the gateway's number of it, when it numbers this event
---@field received_ms integer  when it arrived, in milliseconds since 1970
---@field connection integer  1 for the first connection that became ready, 2 for the next, …
---@field state_version? table  of events that carry it: `presence`, `health`

---@class gw.HandlerOptions
---@field concurrency? integer  events handled at a time; 1 by default
---@field key? fun(payload: any): any  events with the same key are handled in order, those of different keys side by side. Not together with `concurrency`
---@field queue? integer  events that may wait for this handler (with `key`: for each key); the oldest is dropped, and counted, for a newer one. No bound of its own by default

---Calls a function for every event of that name, prefix or, with `"*"`, for every event of the gateway.
---
---A prefix ends in `*`: `"session.*"`. Events of the host are heard by their exact names only. A payload's arrays and objects are tables,
---its `null` is `json.null`, its integers are integers. Handlers of one event share the payload: do not change it.
---
---```lua
---gw.on("agent", function(payload, event)
---  if payload.stream == "lifecycle" then log.info(payload.data.phase, { run = payload.runId, seq = event.seq }) end
---end)
---
---gw.on("session.message", store, { key = function(payload) return payload.sessionKey end })
---```
---@param event string  a name, a prefix that ends in `*`, or `"*"`
---@param fn fun(payload: any, event: gw.Event)  the handler
---@param options? gw.HandlerOptions
---@return gw.Subscription
function gw.on(event, fn, options) end

---The same for the next such event only.
---
---```lua
---gw.once("@ready", function(hello) log.info("first connection", { server = hello.server.version }) end)
---```
---@param event string  as for gw.on
---@param fn fun(payload: any, event: gw.Event)  the handler
---@return gw.Subscription
function gw.once(event, fn) end

---What gw.on and gw.once give. Letting go of it does not end it.
---@class gw.Subscription
local Subscription = {}

---Ends it. Events that wait for the handler are not handled any more; a call that runs goes on.
---@return boolean cancelled  false if it had ended already
function Subscription:cancel() end

---@class gw.SendOptions
---@field timeout? number  seconds until the answer must be there; 30 by default
---@field wait? number  seconds to wait for a connection; 0 by default: not connected is `NOT_CONNECTED` at once
---@field final? boolean  methods that answer twice (`agent`): wait for the second answer
---@field on_accepted? fun(payload: any)  with `final`: called with the first answer
---@field idempotent? boolean  adds an `idempotencyKey` to the params, unless there is one, and sends again under it after a reconnect, within `timeout`

---Sends a request and waits for its answer. Other handlers, timers and tasks run meanwhile.
---
---Only handlers, timers and tasks can wait: in the main chunk, where there is no connection yet, it raises, and so it does in coroutines that the script made itself
---and inside functions that C calls back (`table.sort`, `string.gsub`). Every request ends exactly once: with its answer or with an error.
---
---The gateway is strict about params: an unknown field is refused, and so is `{}` for an empty array. Write `json.array {}` for that.
---A missing scope is also reported in the log, with its name and the setting that grants it.
---
---```lua
---local session, err = gw.send("sessions.describe", { key = payload.sessionKey })
---if not session then return log.warn("describe failed", err) end
---```
---@param method string  as in `gw.info().methods`
---@param params? table  an object; left out by default
---@param options? gw.SendOptions
---@return any payload  of the response; `json.null` if it has none
---@return gw.Error? err  with nil before it
function gw.send(method, params, options) end

---@class gw.Info
---@field state string  `"stopped"`, `"connecting"`, `"handshake"`, `"ready"`, `"waiting"` or `"paused"`
---@field connection? integer  how many connections have become ready
---@field protocol? integer  4 or 3. This and what follows: while it is ready
---@field server_version? string
---@field conn_id? string  the gateway's name for the connection
---@field scopes? string[]  granted by the gateway
---@field methods? string[]  of the gateway
---@field events? string[]  of the gateway
---@field policy? table  `maxPayload`, `maxBufferedBytes`, `tickIntervalMs`

---What is known of the connection, as of the message that is being handled. A new table each time.
---
---```lua
---if gw.info().state ~= "ready" then log.warn("not connected") end
---```
---@return gw.Info
function gw.info() end

---The time of a clock that is never set, in seconds: for measuring. `os.time()` tells the date.
---
---```lua
---local before = gw.now()
---gw.send("status")
---log.info("answered", { seconds = gw.now() - before })
---```
---@return number seconds  from some point in the past
function gw.now() end

---Reads a file of the app's folder.
---
---One that the main chunk reads belongs to the app as its script does: `gatehouse run --watch` reloads the app when it changes, and the way back to the
---generation before brings its content back. What a handler reads later is what is there then, and is not watched.
---
---Codes: `NOT_FOUND`, `BAD_PATH` (absolute, or with `..`), `TOO_LARGE` (for the app's memory), `READ_FAILED`.
---
---```lua
---local words, err = gw.read_file("data/words.txt")
---```
---@param path string  relative to the app's folder
---@return string? text
---@return gw.Error? err
function gw.read_file(path) end

---@class gw.App
---@field name string  of the app
---@field generation integer  1 for the first load, 2 after a reload, …
---@field data_dir? string  a folder of its own that stays
---@field config table  its section of the configuration

---What the app is.
---
---```lua
---local limit = gw.app.config.limit or 10
---```
---@type gw.App
gw.app = {}

---Data that is there again after a reload and after a restart.
---
---It holds plain data: strings of any bytes, integers, floats, booleans, `json.null` and tables of them, with strings, numbers and booleans as keys. A table
---that stands in several places stays one table, and cycles are fine. A value that cannot be carried (a function, a userdata, a table with a metatable, a
---table as a key, more than 1000 tables inside each other) is an error where it is assigned to a field of `gw.state`, with its path. What is put into
---a table that is in there already is looked at when the state is saved: then it is an error in the log; at a reload the old generation stays;
---and when the app stops, that field of `gw.state` is left out.
---
---It is saved to `state.bin` of the app's data folder while the app runs, about a second after it handled something (under load within five seconds; a large
---state more seldom, so that it takes no more than a fiftieth of the time), and when the app stops. A crash at any moment leaves the last
---state that was saved, or the one before. A file that is broken is moved aside with a warning and never overwritten. The `state.json` of an
---earlier release is read once.
---
---It is no table itself: `pairs`, `ipairs` and `#` work, `next` does not. `gw.state = t` makes `t` its content. It is read from the disk, or taken over
---from the generation before, when it is first looked at.
---
---After a reload the old generation, in which handlers may still wait for something, can read it, and no longer write it: an assignment
---to `gw.state` or to any table in it raises a [gw.Error](#gwerror) with code `RELOADED`, since it would be lost. Reading, `pairs`, `ipairs`, `#` and `json.encode` go on
---working there, while `next`, `rawget`, `rawlen` and `rawset` go past it: they find such a table empty, and what `rawset` puts there is lost.
---
---```lua
---gw.state.failures = (gw.state.failures or 0) + 1
---gw.state.sessions = gw.state.sessions or {}
---gw.state.sessions[payload.sessionKey] = { seen = os.time() }
---```
---@type table<string, any>
gw.state = {}

---Converts what an older version of the app has kept. Once, in the main chunk, before anything else uses `gw.state`.
---
---What is kept has a version: 0 until this gives it another one. If it is older than `version`, the function is called at once with the table behind `gw.state` and the version that
---it has; it changes the table, or returns a new one. Then the version is `version`. That goes for a new app too: with an empty table and 0. If the function raises, the app does
---not load, and what was kept stays as it is. A newer version than `version` is a warning in the log: the data is taken as it is and keeps its version.
---
---```lua
---gw.on_migrate(2, function(state, from)
---  if from < 1 then state.sessions = state.sessions or {} end
---  if from < 2 then
---    for key, seen in pairs(state.sessions) do state.sessions[key] = { seen = seen } end
---  end
---end)
---```
---@param version integer  of the data as this app wants it; from 1 on
---@param fn fun(state: table, from: integer): table?  the function
function gw.on_migrate(version, fn) end
