/* terminal.c - see terminal.h. Plain ANSI sequences, which every terminal of today knows. */
#define _GNU_SOURCE
#include "cli/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"

int terminal_watch_signals(const int *signals, size_t count)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < count; i++) {
        sigaddset(&set, signals[i]);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int terminal_next_signal(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void terminal_size(int *columns, int *rows)
{
    struct winsize size;

    *columns = 80;
    *rows = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return;
    if (size.ws_col > 0) *columns = size.ws_col;
    if (size.ws_row > 0) *rows = size.ws_row;
}

static void tell(const char *sequence, size_t size)
{
    ssize_t written = write(STDOUT_FILENO, sequence, size);
    (void)written; /* a terminal that is gone needs no restoring */
}

bool terminal_take(Terminal *terminal)
{
    struct termios raw;

    terminal->taken = false;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &terminal->before) != 0)
        return false;
    raw = terminal->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) return false;
    terminal->taken = true;
    tell(ENTER, sizeof ENTER - 1);
    return true;
}

void terminal_give_back(Terminal *terminal)
{
    if (!terminal->taken) return;
    terminal->taken = false;
    tell(LEAVE, sizeof LEAVE - 1);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal->before);
}

bool terminal_suspend(Terminal *terminal)
{
    terminal_give_back(terminal);
    (void)raise(SIGSTOP); /* SIGTSTP itself is blocked where it is watched */
    return terminal_take(terminal);
}
