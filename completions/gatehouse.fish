# Completion for fish: put it into ~/.config/fish/completions/

set -l commands run call tail check device sim demo help
set -l connecting run call tail
set -l settled run call tail check device

complete -c gatehouse -n __fish_use_subcommand -f -a run -d 'Load apps, connect to the gateway and run them'
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
complete -c gatehouse -n "__fish_seen_subcommand_from $settled sim" -l log-level -x -a 'debug info warn error' -d 'How much is logged'
complete -c gatehouse -n "__fish_seen_subcommand_from $settled sim" -l log-format -x -a 'human json' -d 'How it is logged'

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
complete -c gatehouse -n '__fish_seen_subcommand_from tail' -l wait -d 'Keep trying'
complete -c gatehouse -n '__fish_seen_subcommand_from call check device' -l json -d 'Machine-readable output'

complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l listen -x -d 'Where to listen'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l token -x -d 'What clients must send'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l protocol -x -a '4 3' -d 'Protocol to speak'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l legacy -d 'The older dialect of protocol 3'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l tick-ms -x -d 'Milliseconds between two ticks'
complete -c gatehouse -n '__fish_seen_subcommand_from sim' -l port-file -r -d 'Write the port there'
complete -c gatehouse -n '__fish_seen_subcommand_from demo' -f -l seconds -x -d 'End after that long'
