-- Opens files.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  for _, library in ipairs { io, package.loaded.io, require "io" } do
    for _, name in ipairs { "open", "popen", "lines", "input", "output", "read", "write", "tmpfile", "type" } do
      assert(not pcall(library[name], "/etc/passwd"), name)
    end
    assert(not library.stdout and not library.stderr and not library.stdin)
  end
  assert(not pcall(dofile, "/etc/passwd") and not pcall(loadfile, "/etc/passwd"))
  assert(not pcall(dofile) and not pcall(loadfile))
  print("held")
end)

--> held
