/* terminal.h - the terminal that a subcommand was started from: its size, single keys, and signals as something to poll. */
#ifndef GATEHOUSE_CLI_TERMINAL_H
#define GATEHOUSE_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

/* Blocks the signals and returns a descriptor that is readable when one came; -1 if there is none to be had. */
int terminal_watch_signals(const int *signals, size_t count);
/* Which signal; 0: none waits. */
int terminal_next_signal(int fd);

void terminal_size(int *columns, int *rows); /* of stdout; 80 x 24 if it does not tell */

typedef struct {
    struct termios before;
    bool taken;
} Terminal;

/* Keys come one by one and unseen, and the screen is another one, until terminal_give_back. False if stdin or stdout is no terminal. */
bool terminal_take(Terminal *terminal);
void terminal_give_back(Terminal *terminal); /* also when it was not taken */
/* Gives it back, stops the process as ctrl-Z does, and takes it again when the process goes on. False if it cannot be taken any more. */
bool terminal_suspend(Terminal *terminal);

#endif
