-- Has a pattern that tries for very long, in C: it holds up its own app, and the log says where.
--! slow
--! call find
gw.on("go." .. gw.app.name, function()
  string.find(("a"):rep(95), "^" .. ("a-"):rep(6) .. "b") --*
end)
