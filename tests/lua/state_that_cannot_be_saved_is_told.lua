-- What an app wanted to keep and could not is an error in the log, and the exit status tells it too.

--! exit: 1
--! allow-errors
--! app keeper
gw.on("@start", function()
  gw.state.count = 1
  print("begins")
end)
gw.on("@stop", function() os.execute("rm -r '" .. gw.app.data_dir .. "'") end)

--! expect keeper
--> begins

--! after SIGTERM
--! log: "error","app":"keeper","message":"saving failed: gw\.state is not saved: cannot write
