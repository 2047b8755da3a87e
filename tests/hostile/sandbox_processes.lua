-- Starts processes, and looks at the host.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  for _, name in ipairs { "execute", "remove", "rename", "tmpname", "getenv", "exit" } do
    local ok, message = pcall(os[name], "PATH")
    assert(not ok and message:find("sandbox", 1, true), message)
  end
  assert(os.time() > 0 and os.date("%Y") and os.clock() and package.loaded.os == os)
  print("held")
end)

--> held
