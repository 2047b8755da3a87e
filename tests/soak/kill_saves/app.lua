-- Keeps a number and what follows from it, and changes all of it together, many times a second. test_kill_saves.py kills the host
-- meanwhile, and reads the number from the file by its mark. test_kill_reloads.py reloads it meanwhile:
-- then, a generation in four does not load.
local size = assert(({ small = 64, medium = 1 << 18, large = 1 << 23 })[gw.app.name])

local function fill(n) return ("%08d"):format(n % 100000000):rep(size // 8) end

local n = gw.state.n or 0
if n > 0 then
  assert(gw.state.mark == "mark:" .. n .. ":", "the mark is not that of the number")
  assert(gw.state.text == fill(n), "the text is not that of the number")
  for i, copy in ipairs(gw.state.copies) do assert(copy.n == n + i, "a copy is not that of the number") end
  assert(#gw.state.copies == 100 and gw.state.copies.first == gw.state.copies[1])
end
print("restored", n)
if gw.app.generation > 1 and math.random(4) == 1 then error("this one does not load") end

local function change()
  n = n + 1
  local copies = {}
  for i = 1, 100 do copies[i] = { n = n + i } end
  copies.first = copies[1]
  gw.state = { n = n, mark = "mark:" .. n .. ":", text = fill(n), copies = copies }
end

gw.on("@start", function()
  change()
  timer.every(0.02, change)
  print("begun")
end)
