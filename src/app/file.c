/* file.c - see file.h. */
#define _GNU_SOURCE /* strerror_r */
#include "app/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void explain(char *problem, size_t size, const char *what, const char *path)
{
    char reason[128];
    snprintf(problem, size, "cannot %s %.300s: %s", what, path, strerror_r(errno, reason, sizeof reason));
}

/* Until the end of the file or over the limit. */
static FileResult read_all(int fd, size_t limit_bytes, Buffer *content)
{
    for (size_t total = 0; total <= limit_bytes;) {
        char *room = buffer_reserve(content, 65536);
        if (!room) {
            errno = ENOMEM;
            return FILE_FAILED;
        }
        ssize_t got = read(fd, room, 65536);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return FILE_FAILED;
        if (got == 0) return FILE_READ;
        buffer_commit(content, (size_t)got);
        total += (size_t)got;
    }
    return FILE_TOO_LARGE;
}

FileResult file_read(const char *path, size_t limit_bytes, Buffer *content, char *problem, size_t problem_size)
{
    struct stat status;
    FileResult result = FILE_FAILED;
    /* Not to wait on a pipe that somebody put there. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        result = errno == ENOENT || errno == ENOTDIR ? FILE_MISSING : FILE_FAILED;
        explain(problem, problem_size, "open", path);
        return result;
    }
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        snprintf(problem, problem_size, "%.300s is not a file", path);
        goto out;
    }
    result = read_all(fd, limit_bytes, content);
    if (result == FILE_FAILED) explain(problem, problem_size, "read", path);
    if (result == FILE_TOO_LARGE)
        snprintf(problem, problem_size, "%.300s is larger than %zu MiB", path, limit_bytes >> 20);
out:
    close(fd);
    return result;
}
