/* options.c - GNU long options over getopt_long. */
#include "cli/options.h"

#include "host/suggest.h"

#include <getopt.h>
#include <string.h>

#define HELP_COLUMN 26

const OptionInfo option_infos[OPTION_END] = {
    [OPTION_HELP] = {"help", NULL, "show this help", 0},
    [OPTION_VERSION] = {"version", NULL, "show the version", 0},
    [OPTION_CONFIG] = {"config", "FILE", "settings and apps (default: gatehouse.lua, if there)", 0},
    [OPTION_URL] = {"url", "URL", "ws:// or wss:// (default: ws://127.0.0.1:18789/)", 1 + SETTING_URL},
    [OPTION_TOKEN_FILE] = {"token-file", "FILE", "file with the gateway's token, only yours to read",
                           1 + SETTING_TOKEN_FILE},
    [OPTION_SCOPES] = {"scopes", "LIST", "rights (default: operator.read,operator.write)", 1 + SETTING_SCOPES},
    [OPTION_CAPS] = {"caps", "LIST", "capabilities to announce (default: tool-events)", 1 + SETTING_CAPS},
    [OPTION_ROLE] = {"role", "ROLE", "the role to connect in (default: operator)", 1 + SETTING_ROLE},
    [OPTION_CA_FILE] = {"ca-file", "FILE", "certificates to trust instead of the system's", 1 + SETTING_CA_FILE},
    [OPTION_TLS_FINGERPRINT] = {"tls-fingerprint", "SHA256", "trust this certificate and no other",
                                1 + SETTING_TLS_FINGERPRINT},
    [OPTION_DISPLAY_NAME] = {"display-name", "NAME", "how the gateway shows this client", 1 + SETTING_DISPLAY_NAME},
    [OPTION_ALLOW_INSECURE] = {"allow-insecure", NULL, "send secrets over ws:// to public addresses, too",
                               1 + SETTING_ALLOW_INSECURE},
    [OPTION_STATE_DIR] = {"state-dir", "DIR", "keys, data (default: ~/.local/state/gatehouse)", 1 + SETTING_STATE_DIR},
    [OPTION_LOG_LEVEL] = {"log-level", "LEVEL", "debug, info, warn or error", 1 + SETTING_LOG_LEVEL},
    [OPTION_LOG_FORMAT] = {"log-format", "FORMAT", "human or json", 1 + SETTING_LOG_FORMAT},
    [OPTION_TIMEOUT] = {"timeout", "SECONDS", "connection and answer together (default: 30)", 0},
    [OPTION_FINAL] = {"final", NULL, "wait for the second answer of those that give two", 0},
    [OPTION_WAIT] = {"wait", NULL, "keep trying if the gateway is not there yet", 0},
    [OPTION_COUNT_EVENTS] = {"count", "N", "end after N events", 0},
    [OPTION_JSON] = {"json", NULL, "machine-readable output", 0},
    [OPTION_LISTEN] = {"listen", "ADDRESS", "with :PORT if not any (default: 127.0.0.1:18789)", 0},
    [OPTION_TOKEN] = {"token", "TOKEN", "what is valid (default: OPENCLAW_GATEWAY_TOKEN)", 0},
    [OPTION_PROTOCOL] = {"protocol", "N", "speak protocol 4 or 3 (default: 4)", 0},
    [OPTION_LEGACY] = {"legacy", NULL, "speak the older dialect of protocol 3", 0},
    [OPTION_TICK_MS] = {"tick-ms", "N", "milliseconds between two ticks (default: 30000)", 0},
    [OPTION_PORT_FILE] = {"port-file", "FILE", "write the port there once it listens", 0},
    [OPTION_SECONDS] = {"seconds", "N", "end after that long", 0},
    [OPTION_WATCH] = {"watch", NULL, "reload an app when one of its files changes", 0},
    [OPTION_APP] = {"app", "APP", "events that this app of the running host gets", 0},
    [OPTION_ONCE] = {"once", NULL, "print once, plainly, and end", 0},
    [OPTION_RETRY] = {"retry", NULL, "put them back into the inbox", 0},
};

/* --- parsing ---------------------------------------------------------------------------------------------------------------- */

/* getopt's table of the options in all lists; returns how many. `val` is the id. */
static size_t fill_table(const OptionList *lists, size_t list_count, struct option *table)
{
    size_t count = 0;

    table[count++] = (struct option){option_infos[OPTION_HELP].name, no_argument, NULL, OPTION_HELP};
    for (size_t i = 0; i < list_count; i++) {
        for (size_t j = 0; j < lists[i].count && count < OPTION_END; j++) {
            const OptionInfo *info = &option_infos[lists[i].ids[j]];
            table[count++] = (struct option){info->name, info->argument ? required_argument : no_argument, NULL,
                                             (int)lists[i].ids[j]};
        }
    }
    table[count] = (struct option){0};
    return count;
}

static void tell_unknown(const struct option *table, size_t count, const char *given, char *problem,
                         size_t problem_size)
{
    char word[64], hint[96];

    (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(given, "="), given);
    Suggestion suggestion = suggest_for(word + strspn(word, "-"));
    for (size_t i = 0; i < count; i++) {
        suggest_consider(&suggestion, table[i].name);
        if (strcmp(word, "--") == 0) continue;
        if (strncmp(word + 2, table[i].name, strlen(word + 2)) == 0 && strncmp(word, "--", 2) == 0 &&
            !suggestion.best) {
            suggestion.best = table[i].name; /* an abbreviation that fits several */
        }
    }
    *hint = '\0';
    if (suggestion.best) (void)snprintf(hint, sizeof hint, "; did you mean --%s?", suggestion.best);
    (void)snprintf(problem, problem_size, "there is no option %s%s", word, hint);
}

/* The word that getopt has just read: `--url=…`, or `--url` in front of its value. */
static const char *option_word(char *const *argv, const char *value)
{
    return argv[value && value == argv[optind - 1] ? optind - 2 : optind - 1];
}

/* getopt takes abbreviations, too. But `--token SECRET` must not pass for --token-file, nor a script break with the next option. */
static bool is_whole_name(char *const *argv, const char *value, const char *name)
{
    const char *word = option_word(argv, value);
    size_t size = strcspn(word, "=");

    return size == strlen(name) + 2 && strncmp(word + 2, name, size - 2) == 0;
}

bool options_parse(const OptionList *lists, size_t list_count, int argc, char **argv, Parsed *out, char *problem,
                   size_t problem_size)
{
    struct option table[OPTION_END + 1];
    size_t count = fill_table(lists, list_count, table);
    int id;

    *out = (Parsed){.count = 0};
    optind = 0; /* start over, whatever was parsed before */
    opterr = 0;
    while ((id = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
        switch (id) {
        case 'h': out->values[OPTION_HELP] = ""; break;
        case ':':
            (void)snprintf(problem, problem_size, "%s wants a value: %s %s", argv[optind - 1], argv[optind - 1],
                           option_infos[optopt].argument);
            return false;
        case '?':
            if (optopt > OPTION_HELP && optopt < OPTION_END && strchr(argv[optind - 1], '=')) {
                (void)snprintf(problem, problem_size, "--%s takes no value", option_infos[optopt].name);
            } else if (optopt) {
                char given[3] = {'-', (char)optopt, '\0'};
                (void)snprintf(problem, problem_size, "there is no option %s", given);
            } else {
                tell_unknown(table, count, argv[optind - 1], problem, problem_size);
            }
            return false;
        default:
            if (!is_whole_name(argv, optarg, option_infos[id].name)) {
                tell_unknown(table, count, option_word(argv, optarg), problem, problem_size);
                return false;
            }
            out->values[id] = optarg ? optarg : "";
            break;
        }
    }
    out->arguments = argv + optind;
    out->count = argc - optind;
    return true;
}

/* --- help -------------------------------------------------------------------------------------------------------------------- */

void options_help(const OptionList *list, FILE *out)
{
    for (size_t i = 0; i < list->count; i++) {
        const OptionInfo *info = &option_infos[list->ids[i]];
        char text[64];
        (void)snprintf(text, sizeof text, "  --%s%s%s", info->name, info->argument ? " " : "",
                       info->argument ? info->argument : "");
        (void)fprintf(out, "%-*s %s\n", HELP_COLUMN, text, info->help);
    }
}
