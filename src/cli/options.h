/* options.h - the one table of options, from which parsing and every --help are made.
 *
 * An option means the same in all subcommands; a subcommand says which ones it takes. */
#ifndef GATEHOUSE_CLI_OPTIONS_H
#define GATEHOUSE_CLI_OPTIONS_H

#include "host/config.h"

#include <stdio.h>

typedef enum {
    OPTION_HELP,
    OPTION_VERSION,
    /* settings */
    OPTION_CONFIG,
    OPTION_URL,
    OPTION_TOKEN_FILE,
    OPTION_SCOPES,
    OPTION_CAPS,
    OPTION_ROLE,
    OPTION_CA_FILE,
    OPTION_TLS_FINGERPRINT,
    OPTION_DISPLAY_NAME,
    OPTION_ALLOW_INSECURE,
    OPTION_STATE_DIR,
    OPTION_LOG_LEVEL,
    OPTION_LOG_FORMAT,
    /* of single subcommands */
    OPTION_TIMEOUT,
    OPTION_FINAL,
    OPTION_WAIT,
    OPTION_COUNT_EVENTS,
    OPTION_JSON,
    OPTION_LISTEN,
    OPTION_TOKEN,
    OPTION_PROTOCOL,
    OPTION_LEGACY,
    OPTION_TICK_MS,
    OPTION_PORT_FILE,
    OPTION_SECONDS,
    OPTION_WATCH,
    OPTION_APP,
    OPTION_ONCE,
    OPTION_RETRY,
    OPTION_END
} OptionId;

typedef struct {
    const char *name;     /* without the dashes */
    const char *argument; /* what it is called in --help; NULL: a flag */
    const char *help;
    int setting; /* 1 + the Setting that it sets; 0: none */
} OptionInfo;

extern const OptionInfo option_infos[OPTION_END];

/* Which options a subcommand takes. */
typedef struct {
    const OptionId *ids;
    size_t count;
} OptionList;

typedef struct {
    const char
        *values[OPTION_END]; /* borrowed from argv; "" for a flag; NULL: not given. Of a repeated option the last */
    char **arguments;        /* what is no option, in order */
    int count;
} Parsed;

/* `argv[0]` is the subcommand. Reorders argv. False, with a message in `problem`, for what is not in `list` (--help always is). */
bool options_parse(const OptionList *lists, size_t list_count, int argc, char **argv, Parsed *out, char *problem,
                   size_t problem_size);

/* One line for each option, aligned. */
void options_help(const OptionList *list, FILE *out);

#endif
