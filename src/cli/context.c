/* context.c - see context.h. */
#define _GNU_SOURCE /* environ */
#include "cli/context.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_FILE "gatehouse.lua"
#define LONGEST_S 86400

/* The named file must be there, the one that is found by its name need not. NULL: there is none. */
static const char *named_config(const Parsed *parsed)
{
    const char *variable = getenv("GATEHOUSE_CONFIG");

    if (parsed->values[OPTION_CONFIG]) return parsed->values[OPTION_CONFIG];
    return variable && *variable ? variable : NULL;
}

/* Settings decide where the token goes, so a file that just lies there must belong to who runs us, or to root. */
static bool find_config(const Parsed *parsed, const char **path, char *problem, size_t problem_size)
{
    struct stat status;

    *path = named_config(parsed);
    if (*path || stat(CONFIG_FILE, &status) != 0) return true;
    *path = CONFIG_FILE;
    if (status.st_uid == geteuid() || status.st_uid == 0) return true;
    (void)snprintf(problem, problem_size, "%s in this folder belongs to somebody else; if it is meant: --config %s",
                   CONFIG_FILE, CONFIG_FILE);
    return false;
}

static bool set_options(Config *config, const Parsed *parsed, char *problem, size_t problem_size)
{
    for (int i = 0; i < OPTION_END; i++) {
        const OptionInfo *info = &option_infos[i];
        char origin[40];
        if (!parsed->values[i] || info->setting == 0) continue;
        (void)snprintf(origin, sizeof origin, "--%s", info->name);
        const char *value = info->argument ? parsed->values[i] : "true";
        if (!config_set(config, (Setting)(info->setting - 1), value, origin, problem, problem_size)) return false;
    }
    return true;
}

static int read_settings(Context *context)
{
    char problem[1024];
    const char *path = NULL;

    context->config = config_new();
    if (!context->config) return command_fail(context->command, CLI_FAILED, "there is not enough memory");
    bool read = find_config(context->parsed, &path, problem, sizeof problem) &&
                (!path || config_load_file(context->config, path, problem, sizeof problem)) &&
                config_load_environment(context->config, environ, problem, sizeof problem) &&
                set_options(context->config, context->parsed, problem, sizeof problem);
    return read ? CLI_OK : command_fail(context->command, CLI_USAGE, "%s", problem);
}

static int open_log(Context *context, LogLevel level)
{
    const char *configured = config_text(context->config, SETTING_LOG_LEVEL);
    LogConfig log = {.level = level, .colour = log_wants_colour(STDERR_FILENO), .fd = STDERR_FILENO};

    /* Both were checked when they were set. */
    if (configured) (void)log_parse_level(configured, &log.level);
    (void)log_parse_format(config_text(context->config, SETTING_LOG_FORMAT), &log.format);
    context->log = log_new(&log);
    return context->log ? CLI_OK
                        : command_fail(context->command, CLI_FAILED, "the log cannot be started: no memory or threads");
}

int context_open(Context *context, const Command *command, const Parsed *parsed, LogLevel level)
{
    *context = (Context){.command = command, .parsed = parsed};
    int status = read_settings(context);
    if (status == CLI_OK) status = open_log(context, level);
    if (status != CLI_OK) return status;
    context->loop = loop_new();
    return context->loop ? CLI_OK
                         : command_fail(command, CLI_FAILED, "the event loop cannot be made: no memory or descriptors");
}

void context_close(Context *context)
{
    if (context->loop) loop_free(context->loop);
    log_free(context->log);
    config_free(context->config);
}

int context_read_secrets(Context *context)
{
    char problem[1024];

    if (config_read_secrets(context->config, problem, sizeof problem)) return CLI_OK;
    return command_fail(context->command, CLI_FAILED, "%s", problem);
}

bool context_milliseconds(const char *text, int64_t *ms)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds > 0) || seconds > LONGEST_S) return false;
    *ms = (int64_t)(seconds * 1000);
    return *ms > 0;
}
