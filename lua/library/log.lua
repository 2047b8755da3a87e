---@meta
-- The host's log, in the app's name. `print` writes to it too, at level info, and so does `warn`, at level warn.
--
-- A line never is a reason to fail: a field without a JSON form is written as its text. What is below the level of the log costs next to nothing.
log = {}

---@param message any  shown as `print` would
---@param fields? any  a table; anything else becomes the field `value`
function log.debug(message, fields) end

---```lua
---log.info("synced", { agents = 3, seconds = 0.2 })
---```
---@param message any  shown as `print` would
---@param fields? any  a table; anything else becomes the field `value`
function log.info(message, fields) end

---```lua
---local _, err = gw.send("status")
---if err then log.warn("no status", err) end
---```
---@param message any  shown as `print` would
---@param fields? any  a table; anything else becomes the field `value`
function log.warn(message, fields) end

---@param message any  shown as `print` would
---@param fields? any  a table; anything else becomes the field `value`
function log.error(message, fields) end
