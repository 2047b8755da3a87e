/* state_lock.c - flock on `host.lock`, so that a process that dies leaves no lock behind. The pid in it is for the message. */
#include "host/state_lock.h"

#include "host/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void read_holder(int lock, char *text, size_t size)
{
    ssize_t got = pread(lock, text, size - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    text[strspn(text, "0123456789")] = '\0';
}

int state_lock_take(const char *state_dir, char *problem, size_t problem_size)
{
    char path[PATH_MAX], pid[24];

    if (!state_dir_path(state_dir, "host.lock", path, sizeof path, problem, problem_size)) return -1;
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
        (void)snprintf(problem, problem_size, "%s cannot be opened: %s", path, strerror(errno));
        return -1;
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        read_holder(lock, pid, sizeof pid);
        (void)snprintf(
            problem, problem_size,
            "another gatehouse (process %s) uses the state folder %s; give this one its own with --state-dir",
            *pid ? pid : "unknown", state_dir);
        (void)close(lock);
        return -1;
    }
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    bool told = ftruncate(lock, 0) == 0 && pwrite(lock, pid, (size_t)size, 0) == size;
    (void)told; /* it is only for a message: a disk that is full does not matter */
    return lock;
}

void state_lock_release(int lock)
{
    if (lock >= 0) (void)close(lock);
}
