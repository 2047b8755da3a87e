# Completion for fish: put it into ~/.config/fish/completions/

set -l commands run status reload eval repl top dead stop call tail check device sim demo help
set -l connecting run call tail
set -l controlling status reload eval repl top dead stop
set -l logging run call tail check device
set -l settled $logging $controlling

complete -c gatehouse -n __fish_use_subcommand -f -a run -d 'Load apps, connect to the gateway and run them'
complete -c gatehouse -n __fish_use_subcommand -f -a status -d 'Show how the running host is'
complete -c gatehouse -n __fish_use_subcommand -f -a reload -d 'Load an app of the running host again'
complete -c gatehouse -n __fish_use_subcommand -f -a eval -d 'Run Lua in an app of the running host'
complete -c gatehouse -n __fish_use_subcommand -f -a repl -d 'Type Lua into an app of the running host'
complete -c gatehouse -n __fish_use_subcommand -f -a top -d 'Watch the apps of the running host'
complete -c gatehouse -n __fish_use_subcommand -f -a dead -d 'List events whose handler raised'
complete -c gatehouse -n __fish_use_subcommand -f -a stop -d 'Stop the running host'
complete -c gatehouse -n __fish_use_subcommand -f -a call -d 'Send one request and print the answer'
complete -c gatehouse -n __fish_use_subcommand -f -a tail -d 'Print events as JSON lines'
complete -c gatehouse -n __fish_use_subcommand -f -a check -d 'Load apps without connecting'
complete -c gatehouse -n __fish_use_subcommand -f -a device -d 'Show this device\'s identity and how to approve it'
complete -c gatehouse -n __fish_use_subcommand -f -a sim -d 'Simulate a gateway'
complete -c gatehouse -n __fish_use_subcommand -f -a demo -d 'Show a simulated gateway and an app at work'
complete -c gatehouse -n __fish_use_subcommand -f -a help -d 'Show help'
complete -c gatehouse -n __fish_use_subcommand -l version -d 'Show the version'
complete -c gatehouse -l help -d 'Show help'
complete -c gatehouse -n '__fish_seen_subcommand_from help' -f -a "$commands"

complete -c gatehouse -n "__fish_seen_subcommand_from $settled" -l config -r -d 'Settings and apps'
complete -c gatehouse -n "__fish_seen_subcommand_from $settled" -l state-dir -x -a '(__fish_complete_directories)' -d 'Keys, tokens, data of apps'
complete -c gatehouse -n "__fish_seen_subcommand_from $logging sim" -l log-level -x -a 'debug info warn error' -d 'How much is logged'
complete -c gatehouse -n "__fish_seen_subcommand_from $logging sim" -l log-format -x -a 'human json' -d 'How it is logged'

complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l url -x -d 'The gateway'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l token-file -r -d 'Read the token from a file'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l scopes -x -d 'What to ask for'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l caps -x -d 'Capabilities to announce'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l role -x -d 'The role to connect in'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l ca-file -r -d 'Certificates to trust'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l tls-fingerprint -x -d 'The one certificate to trust'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l display-name -x -d 'How the gateway shows this client'
complete -c gatehouse -n "__fish_seen_subcommand_from $connecting" -l allow-insecure -d 'Send secrets over plain ws, too'

complete -c gatehouse -n '__fish_seen_subcommand_from call' -f -l timeout -x -d 'Seconds for connection and answer'
complete -c gatehouse -n '__fish_seen_subcommand_from call' -l final -d 'Wait for the second answer'
complete -c gatehouse -n '__fish_seen_subcommand_from tail' -f -l count -x -d 'End after N events'
complete -c gatehouse -n "__fish_seen_subcommand_from $controlling" -f
complete -c gatehouse -n '__fish_seen_subcommand_from tail' -l app -x -d 'Events that this app of the running host gets'
complete -c gatehouse -n '__fish_seen_subcommand_from top' -l once -d 'Print once and end'
complete -c gatehouse -n '__fish_seen_subcommand_from dead' -l retry -d 'Put them back into the inbox'
complete -c gatehouse -n '__fish_seen_subcommand_from tail' -l wait -d 'Keep trying'
complete -c gatehouse -n '__fish_seen_subcommand_from call check device status dead' -l json -d 'Machine-readable output'

complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l listen -x -d 'Where to listen'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l token -x -d 'What clients must send'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l protocol -x -a '4 3' -d 'Protocol to speak'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l legacy -d 'The older dialect of protocol 3'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l tick-ms -x -d 'Milliseconds between two ticks'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l port-file -r -d 'Write the port there'
complete -c gatehouse -n '__fish_seen_subcommand_from run' -l watch -d 'Reload an app when one of its files changes'
complete -c gatehouse -n '__fish_seen_subcommand_from demo' -f -l seconds -x -d 'End after that long'
