-- Recurses through functions in C.
--! held
gw.on("go." .. gw.app.name, function()
  local function deep() return string.gsub("a", "a", deep) end
  assert(not pcall(deep))
  local function resume() return coroutine.resume(coroutine.create(resume)) end
  resume()
  local function wrap() return coroutine.wrap(wrap)() end
  assert(not pcall(wrap))
  print("held")
end)

--> held
