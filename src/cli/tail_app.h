/* tail_app.h - `gatehouse tail --app`: events on their way to an app of the running host. */
#ifndef GATEHOUSE_CLI_TAIL_APP_H
#define GATEHOUSE_CLI_TAIL_APP_H

#include "cli/command.h"

/* `left`: events to print; -1: no end. Returns the exit status. */
int tail_app(const Command *command, const Parsed *parsed, int64_t left);

#endif
