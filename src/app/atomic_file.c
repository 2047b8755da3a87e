/* atomic_file.c - see atomic_file.h. */
#define _GNU_SOURCE /* mkostemp */
#include "app/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes the reason from errno. */
static AtomicFileResult fail(char *message, size_t message_size, const char *what, const char *path)
{
    snprintf(message, message_size, "%s %s: %s", what, path, strerror(errno));
    return ATOMIC_FILE_FAILED;
}

static bool write_all(int fd, Slice content)
{
    while (content.size > 0) {
        ssize_t written = write(fd, content.data, content.size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        content = slice_make(content.data + written, content.size - (size_t)written);
    }
    return true;
}

/* Without it a crash may forget the new name of a file whose content is on the disk. */
static bool sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof folder) return false;
    memcpy(folder, path, length);
    folder[length] = '\0';

    int fd = open(length > 0 ? folder : (slash ? "/" : "."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool synced = fsync(fd) == 0;
    close(fd);
    return synced;
}

/* Writes and syncs a temporary file beside `path`. */
static bool write_temporary(const char *path, Slice content, char temporary[PATH_MAX])
{
    if (snprintf(temporary, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) return false;
    bool written = write_all(fd, content) && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && written) {
        written = false;
        error = errno;
    }
    if (!written) unlink(temporary);
    errno = error;
    return written;
}

AtomicFileResult atomic_file_write(const char *path, Slice content, char *message, size_t message_size)
{
    char temporary[PATH_MAX];
    if (!write_temporary(path, content, temporary)) return fail(message, message_size, "cannot write", path);
    if (rename(temporary, path) != 0) {
        fail(message, message_size, "cannot write", path);
        unlink(temporary);
        return ATOMIC_FILE_FAILED;
    }
    if (!sync_folder_of(path)) return fail(message, message_size, "cannot sync the folder of", path);
    return ATOMIC_FILE_DONE;
}

AtomicFileResult atomic_file_create(const char *path, Slice content, char *message, size_t message_size)
{
    char temporary[PATH_MAX];
    AtomicFileResult result = ATOMIC_FILE_DONE;
    if (!write_temporary(path, content, temporary)) return fail(message, message_size, "cannot write", path);
    /* A link is refused when the name is taken; a rename would replace it. */
    if (link(temporary, path) != 0) {
        result = errno == EEXIST ? ATOMIC_FILE_EXISTS : fail(message, message_size, "cannot write", path);
    }
    unlink(temporary);
    if (result == ATOMIC_FILE_DONE && !sync_folder_of(path)) {
        result = fail(message, message_size, "cannot sync the folder of", path);
    }
    return result;
}

static AtomicFileResult check_private(int fd, const char *path, size_t max_bytes, char *message, size_t message_size)
{
    struct stat about;
    if (fstat(fd, &about) != 0) return fail(message, message_size, "cannot read", path);
    if (!S_ISREG(about.st_mode)) {
        snprintf(message, message_size, "%s is not a regular file", path);
    } else if (about.st_uid != geteuid()) {
        snprintf(message, message_size, "%s belongs to another user", path);
    } else if (about.st_mode & (S_IRWXG | S_IRWXO)) {
        snprintf(message, message_size, "%s can be accessed by others: run: chmod 600 %s", path, path);
    } else if (about.st_size > (off_t)max_bytes) {
        snprintf(message, message_size, "%s is too large to be ours", path);
    } else {
        return ATOMIC_FILE_DONE;
    }
    return ATOMIC_FILE_FAILED;
}

AtomicFileResult atomic_file_read_private(const char *path, size_t max_bytes, Buffer *out, char *message,
                                          size_t message_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for the writer of a pipe */
    if (fd < 0 && errno == ENOENT) return ATOMIC_FILE_ABSENT;
    if (fd < 0) return fail(message, message_size, "cannot read", path);

    AtomicFileResult result = check_private(fd, path, max_bytes, message, message_size);
    for (size_t total = 0; result == ATOMIC_FILE_DONE && total <= max_bytes;) {
        char *room = buffer_reserve(out, 4096);
        ssize_t count = 0;
        if (!room) {
            errno = ENOMEM;
            result = fail(message, message_size, "cannot read", path);
            break;
        }
        count = read(fd, room, 4096);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) result = fail(message, message_size, "cannot read", path);
        if (count <= 0) break;
        buffer_commit(out, (size_t)count);
        total += (size_t)count;
    }
    close(fd);
    return result;
}
