/* context.h - what every subcommand begins with: the settings from all sources, the log, the loop. */
#ifndef GATEHOUSE_CLI_CONTEXT_H
#define GATEHOUSE_CLI_CONTEXT_H

#include "cli/command.h"
#include "host/log.h"
#include "net/loop.h"

typedef struct {
    const Command *command;
    const Parsed *parsed;
    Config *config;
    Log *log;
    Loop *loop;
} Context;

/* Settings from file, environment and options; the log, at `level` unless a setting says otherwise; the loop. Returns CLI_OK, or a
 * status after having said what is wrong. context_close in both cases. */
int context_open(Context *context, const Command *command, const Parsed *parsed, LogLevel level);
void context_close(Context *context);

/* Reads the token file. For those that connect. */
int context_read_secrets(Context *context);

/* SECONDS of an option to milliseconds; false if it is no such number. */
bool context_milliseconds(const char *text, int64_t *ms);

#endif
