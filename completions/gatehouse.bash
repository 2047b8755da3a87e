# Completion for bash: source it, or install it as /usr/share/bash-completion/completions/gatehouse

_gatehouse()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands='run status reload eval repl top dead stop call tail check device sim demo help'
    local control_settings='--config --state-dir'
    local local_settings='--config --state-dir --log-level --log-format'
    local settings="$local_settings --url --token-file --scopes --caps --role --ca-file --tls-fingerprint --display-name --allow-insecure"
    COMPREPLY=()

    case $previous in
    --config | --token-file | --ca-file | --port-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --state-dir)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --log-level)
        mapfile -t COMPREPLY < <(compgen -W 'debug info warn error' -- "$current")
        return
        ;;
    --log-format)
        mapfile -t COMPREPLY < <(compgen -W 'human json' -- "$current")
        return
        ;;
    --protocol)
        mapfile -t COMPREPLY < <(compgen -W '4 3' -- "$current")
        return
        ;;
    --listen | --token | --tick-ms | --seconds | --url | --scopes | --caps | --role | --tls-fingerprint | --display-name | --timeout | --count | --app) return ;;
    esac

    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$current")
        return
    fi
    local options=
    case ${COMP_WORDS[1]} in
    run) options="--help --watch $settings" ;;
    call) options="--help --timeout --final --json $settings" ;;
    status) options="--help --json $control_settings" ;;
    top) options="--help --once $control_settings" ;;
    dead) options="--help --retry --json $control_settings" ;;
    reload | eval | repl | stop) options="--help $control_settings" ;;
    tail) options="--help --app --count --wait $settings" ;;
    check) options="--help --json $local_settings" ;;
    device) options="--help --json $local_settings" ;;
    sim) options="--help --listen --token --protocol --legacy --tick-ms --port-file --log-level --log-format" ;;
    demo) options="--help --seconds" ;;
    help)
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
        return
        ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ ${COMP_WORDS[1]} =~ ^(run|check|sim)$ ]]; then
        mapfile -t COMPREPLY < <(compgen -f -X '!*.lua' -- "$current"; compgen -d -- "$current")
    fi
}

complete -o filenames -F _gatehouse gatehouse
