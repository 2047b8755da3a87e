/* command.c - argv to a subcommand, and the help of all of them. */
#define _GNU_SOURCE /* vasprintf */
#include "cli/command.h"

#include "host/log.h"
#include "host/suggest.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static const Command *const commands[] = {
    &command_run,  &command_status, &command_reload, &command_eval,  &command_repl,   &command_top, &command_dead,
    &command_stop, &command_call,   &command_tail,   &command_check, &command_device, &command_sim, &command_demo};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static const OptionId connection_ids[] = {
    OPTION_CONFIG,    OPTION_URL,       OPTION_TOKEN_FILE,      OPTION_SCOPES,       OPTION_CAPS,
    OPTION_ROLE,      OPTION_CA_FILE,   OPTION_TLS_FINGERPRINT, OPTION_DISPLAY_NAME, OPTION_ALLOW_INSECURE,
    OPTION_STATE_DIR, OPTION_LOG_LEVEL, OPTION_LOG_FORMAT};
static const OptionId local_ids[] = {OPTION_CONFIG, OPTION_STATE_DIR, OPTION_LOG_LEVEL, OPTION_LOG_FORMAT};
static const OptionId control_ids[] = {OPTION_CONFIG, OPTION_STATE_DIR};
static const OptionId top_ids[] = {OPTION_HELP, OPTION_VERSION};

const OptionList connection_options = {connection_ids, sizeof connection_ids / sizeof *connection_ids};
const OptionList local_options = {local_ids, sizeof local_ids / sizeof *local_ids};
const OptionList control_options = {control_ids, sizeof control_ids / sizeof *control_ids};
static const OptionList top_options = {top_ids, sizeof top_ids / sizeof *top_ids};

/* --- messages --------------------------------------------------------------------------------------------------------------- */

static void tell(const Command *command, const char *format, va_list arguments, const char *tail)
{
    char *text = NULL;
    Buffer line = {0};

    if (vasprintf(&text, format, arguments) < 0) return;
    buffer_append_format(&line, "gatehouse%s%s: ", command ? " " : "", command ? command->name : "");
    /* A message of several lines is a traceback; its later lines are indented. */
    for (char *rest = text, *part; (part = strsep(&rest, "\n"));) {
        if (part != text && *part) buffer_append_text(&line, "\n    ");
        log_append_plain(&line, slice_of(part));
    }
    buffer_append_text(&line, tail);
    (void)fwrite(buffer_slice(&line).data, 1, buffer_size(&line), stderr);
    buffer_free(&line);
    free(text);
}

int command_fail(const Command *command, int status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    tell(command, format, arguments, "\n");
    va_end(arguments);
    return status;
}

int command_misused(const Command *command, const char *format, ...)
{
    char more[64];
    va_list arguments;

    (void)snprintf(more, sizeof more, " (see gatehouse%s%s --help)\n", command ? " " : "",
                   command ? command->name : "");
    va_start(arguments, format);
    tell(command, format, arguments, more);
    va_end(arguments);
    return CLI_USAGE;
}

/* --- help -------------------------------------------------------------------------------------------------------------------- */

static int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return CLI_OK;
    return command_fail(NULL, CLI_FAILED, "the output could not be written");
}

static int help_all(FILE *out)
{
    (void)fprintf(out, "Usage: gatehouse COMMAND [OPTION...] [ARGUMENT...]\n"
                       "Runs Lua apps on an OpenClaw agent gateway.\n\nCommands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    }
    (void)fprintf(out, "\nOptions:\n");
    options_help(&top_options, out);
    (void)fprintf(out, "\ngatehouse COMMAND --help tells about one of them, man gatehouse about all.\n");
    return out == stdout ? finish_output() : CLI_USAGE;
}

static int help_one(const Command *command)
{
    printf("Usage: gatehouse %s [OPTION...]%s%s\n%s.\n", command->name, *command->arguments ? " " : "",
           command->arguments, command->summary);
    if (command->details) printf("\n%s", command->details);
    printf("\nOptions:\n");
    options_help(&command->options, stdout);
    options_help(&(OptionList){top_ids, 1}, stdout);
    if (command->shared) {
        printf("\nSettings (also in gatehouse.lua and the environment; options win):\n");
        options_help(command->shared, stdout);
    }
    return finish_output();
}

/* --- argv -------------------------------------------------------------------------------------------------------------------- */

static const Command *find(const char *name, Suggestion *suggestion)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
        suggest_consider(suggestion, commands[i]->name);
    }
    return NULL;
}

static int run(const Command *command, int argc, char **argv)
{
    OptionList lists[2] = {command->options};
    Parsed parsed;
    char problem[256];

    if (command->shared) lists[1] = *command->shared;
    if (!options_parse(lists, 2, argc, argv, &parsed, problem, sizeof problem))
        return command_misused(command, "%s", problem);
    if (parsed.values[OPTION_HELP]) return help_one(command);
    return command->run(command, &parsed);
}

/* A standard stream that was closed must not become the number of a socket: what is put there can neither be read nor written. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(CLI_FAILED);
    }
}

int command_main(int argc, char **argv)
{
    char hint[80];

    hold_standard_streams();
    if (argc < 2) return help_all(stderr);
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        Suggestion suggestion = suggest_for(argc > 2 ? argv[2] : "");
        const Command *about = argc > 2 ? find(argv[2], &suggestion) : NULL;
        return about ? help_one(about) : help_all(stdout);
    }
    if (strcmp(name, "--version") == 0) {
        printf("gatehouse %s\n", GATEHOUSE_VERSION);
        return finish_output();
    }
    Suggestion suggestion = suggest_for(name);
    const Command *command = find(name, &suggestion);
    if (command) return run(command, argc - 1, argv + 1);
    return command_misused(NULL, *name == '-' ? "there is no option %s%s" : "there is no command %s%s", name,
                           suggest_text(&suggestion, hint, sizeof hint));
}
