/* command.h - the subcommands: what each is called, takes and does. */
#ifndef GATEHOUSE_CLI_COMMAND_H
#define GATEHOUSE_CLI_COMMAND_H

#include "cli/options.h"

/* Exit statuses. */
#define CLI_OK 0
#define CLI_FAILED 1
#define CLI_USAGE 2 /* the command line or a setting is wrong */

typedef struct Command Command;
struct Command {
    const char *name;
    const char *arguments;    /* as in the usage line: "APP..." */
    const char *summary;      /* one line, for the list of subcommands */
    const char *details;      /* below the usage line; may be NULL */
    OptionList options;       /* its own, first in --help */
    const OptionList *shared; /* more of them, under "Settings"; may be NULL */
    int (*run)(const Command *command, const Parsed *parsed);
};

extern const Command command_run, command_call, command_tail, command_check, command_device, command_sim, command_demo;
extern const Command command_status, command_reload, command_eval, command_repl, command_top, command_dead,
    command_stop;

/* What those share that connect to a gateway, those that only look at the state folder or load apps, and those that talk to a running host. */
extern const OptionList connection_options, local_options, control_options;

/* Finds the subcommand, parses its options, answers --help, runs it. Returns the exit status. */
int command_main(int argc, char **argv);

/* "gatehouse call: …" on stderr; control characters are escaped. Returns `status`. */
int command_fail(const Command *command, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with status 2 and where to read more. */
int command_misused(const Command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
