-- Decodes what is nested without end.
--! held
gw.on("go." .. gw.app.name, function()
  assert(not json.decode(("["):rep(1e6)) and not json.decode(('{"a":'):rep(1e6)))
  print("held")
end)

--> held
