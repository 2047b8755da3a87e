-- task.all and task.race, made of task.spawn and of a wait that the children end. Loaded by src/api/task.c, which
-- passes the module and its raw pieces: begin (names a wait), wait (for it), wake (ends it).
local task, raw = ...
local traceback = debug.traceback
local pack, unpack = table.pack, table.unpack

-- The children of one call. The first failure, or for `race` the first end, closes it; what comes later is ignored.
--
-- outcome: what xpcall gave for the child that closed it: ok, results … or an error
local function close(group, outcome)
  group.closed = true
  group.outcome = outcome
  raw.wake(group.wait)
end

-- An error with its place in the child; an err table stays what it is, so that the parent can look at its code.
local function with_traceback(err)
  return type(err) == "string" and traceback(err, 2) or err
end

local function run_child(group, key, fn, settle)
  if group.closed then return end -- closed before its turn came
  local outcome = pack(xpcall(fn, with_traceback))
  group.children[key] = nil
  if not group.closed then settle(group, key, outcome) end
end

-- Starts a task for each function of the list, waits until the group is closed, and cancels those that still run.
-- Returns the group; or nil and an err if the waiting task itself was cancelled.
local function run_group(who, list, settle)
  local group = { children = {}, results = {}, left = 0 }
  group.wait = raw.begin(who)
  for key, fn in pairs(list) do
    group.left = group.left + 1
    group.children[key] = task.spawn(run_child, group, key, fn, settle)
  end
  local _, err = raw.wait()
  group.closed = true
  for _, child in pairs(group.children) do child:cancel() end
  if err then return nil, err end
  return group
end

-- Misuse is reported where the script called: level 3 from here.
local function check(who, list)
  if type(list) ~= "table" then
    error(("bad argument #1 to '%s' (table of functions expected, got %s)"):format(who, type(list)), 3)
  end
  for key, fn in pairs(list) do
    if type(fn) ~= "function" then
      error(("bad argument #1 to '%s' ([%s]: function expected, got %s)"):format(who, tostring(key), type(fn)), 3)
    end
  end
end

local function settle_all(group, key, outcome)
  local failed = not outcome[1] or (outcome[2] == nil and outcome[3] ~= nil)
  if failed then return close(group, outcome) end
  group.results[key] = outcome[2]
  group.left = group.left - 1
  if group.left == 0 then close(group) end
end

function task.all(list)
  check("task.all", list)
  if next(list) == nil then return {} end
  local group, err = run_group("task.all", list, settle_all)
  if not group then return nil, err end
  local outcome = group.outcome
  if not outcome then return group.results end
  if not outcome[1] then error(outcome[2], 0) end
  return nil, outcome[3]
end

local function settle_race(group, _, outcome)
  close(group, outcome)
end

function task.race(list)
  check("task.race", list)
  if next(list) == nil then error("bad argument #1 to 'task.race' (there is nobody to win)", 2) end
  local group, err = run_group("task.race", list, settle_race)
  if not group then return nil, err end
  local outcome = group.outcome
  if not outcome[1] then error(outcome[2], 0) end
  return unpack(outcome, 2, outcome.n)
end

return task
