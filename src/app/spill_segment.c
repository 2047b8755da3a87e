/* spill_segment.c - see spill_segment.h. */
#define _GNU_SOURCE
#include "app/spill_segment.h"

#include "app/spill_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "spill-"
#define CHUNK_BYTES (256u << 10) /* of one read */

static bool path_of(const char *folder, uint64_t number, char path[PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/" PREFIX "%llu", folder, (unsigned long long)number) < PATH_MAX) return true;
    errno = ENAMETOOLONG;
    return false;
}

static int open_segment(const char *folder, const char *path, bool make)
{
    if (!make) return open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != ENOENT || mkdir(folder, 0700) != 0) return fd;
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

bool spill_segment_write(const char *folder, uint64_t number, size_t offset, Slice bytes)
{
    char path[PATH_MAX];
    if (!path_of(folder, number, path)) return false;
    int fd = open_segment(folder, path, offset == 0);
    if (fd < 0) return false;

    off_t at = (off_t)offset;
    while (bytes.size > 0) {
        ssize_t written = pwrite(fd, bytes.data, bytes.size, at);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) break;
        at += written;
        bytes = slice_make(bytes.data + written, bytes.size - (size_t)written);
    }
    int error = errno;
    if (bytes.size > 0 && offset == 0) unlink(path);
    /* What is left behind the end is never read, and written over; it is given back for the sake of a full disk. */
    if (bytes.size > 0 && offset > 0 && ftruncate(fd, (off_t)offset) != 0) error = errno;
    if (close(fd) != 0 && bytes.size == 0) {
        if (offset == 0) unlink(path);
        return false;
    }
    errno = error;
    return bytes.size == 0;
}

/* Exactly `size` bytes. */
static bool read_at(const char *folder, uint64_t number, size_t offset, char *out, size_t size)
{
    char path[PATH_MAX];
    if (!path_of(folder, number, path)) return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    while (size > 0) {
        ssize_t got = pread(fd, out, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        out += got;
        offset += (size_t)got;
        size -= (size_t)got;
    }
    close(fd);
    return size == 0;
}

static bool reserve(SpillReader *reader, size_t size)
{
    if (reader->chunk && size <= reader->capacity) return true;
    char *larger = realloc(reader->chunk, size);
    if (!larger) return false;
    reader->chunk = larger;
    reader->capacity = size;
    return true;
}

/* Makes the chunk at least `need` bytes. False if there are no more, or no memory. */
static bool fill(SpillReader *reader, const char *folder, uint64_t number, size_t size_bytes, size_t need,
                 bool *no_memory)
{
    size_t have = reader->end - reader->at, left = size_bytes - reader->offset;
    if (need - have > left) return false;
    size_t wanted = need > CHUNK_BYTES ? need : CHUNK_BYTES;
    if (wanted - have > left) wanted = have + left;
    if (!reserve(reader, wanted)) {
        *no_memory = true;
        return false;
    }
    if (have > 0) memmove(reader->chunk, reader->chunk + reader->at, have);
    reader->at = 0;
    reader->end = have;
    if (!read_at(folder, number, reader->offset, reader->chunk + have, wanted - have)) return false;
    reader->end = wanted;
    reader->offset += wanted - have;
    return true;
}

Message *spill_reader_next(SpillReader *reader, const char *folder, uint64_t number, size_t size_bytes, bool *no_memory)
{
    for (;;) {
        Message *message = NULL;
        size_t need = 0;
        Slice bytes = reader->chunk ? slice_make(reader->chunk + reader->at, reader->end - reader->at) : slice_of("");
        switch (spill_record_read(bytes, &need, &message)) {
        case SPILL_RECORD_READ: reader->at += need; return message;
        case SPILL_RECORD_CUT:
            if (!fill(reader, folder, number, size_bytes, need, no_memory)) return NULL;
            break;
        case SPILL_RECORD_BROKEN: return NULL;
        case SPILL_RECORD_NO_MEMORY: *no_memory = true; return NULL;
        }
    }
}

void spill_reader_reset(SpillReader *reader)
{
    free(reader->chunk);
    *reader = (SpillReader){0};
}

void spill_segment_remove(const char *folder, uint64_t number)
{
    char path[PATH_MAX];
    if (path_of(folder, number, path)) unlink(path);
}

static bool is_segment(const char *name)
{
    size_t prefix = strlen(PREFIX);
    if (strncmp(name, PREFIX, prefix) != 0 || !name[prefix]) return false;
    return name[prefix + strspn(name + prefix, "0123456789")] == '\0';
}

void spill_segments_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    if (!dir) return;
    while ((entry = readdir(dir)))
        if (is_segment(entry->d_name)) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}
