/* narrator.c - see narrator.h.
 *
 *      2.4 s  app      │ heard: "Build is green." (answer number 1)      */
#define _GNU_SOURCE /* pipe2 */
#include "cli/narrator.h"

#include "host/log.h"
#include "protocol/json.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 4096

#define DIM "\033[2m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

struct Narrator {
    const NarratorRole *roles;
    int read_fd, log_fd;
    bool colour;
    int64_t start_ms;
    void (*deaf)(void *context);
    void *context;
    bool is_deaf;
    Buffer pending, message; /* of the thread */
    pthread_t thread;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const NarratorRole *role_of(const Narrator *narrator, const char *app)
{
    const NarratorRole *role = narrator->roles;

    while (role->who && !(role->app ? strcmp(role->app, app) == 0 : !*app)) {
        role++;
    }
    return role;
}

static void tell(Narrator *narrator, Slice line)
{
    char app[80], level[16];
    const char *paint = "", *plain = "", *dim = "";

    (void)json_copy_string(json_find(line, "app"), app, sizeof app);
    (void)json_copy_string(json_find(line, "level"), level, sizeof level);
    buffer_clear(&narrator->message);
    (void)json_get_string(json_find(line, "message"), &narrator->message);
    const NarratorRole *role = role_of(narrator, app);
    if (narrator->colour) {
        paint = strcmp(level, "error") == 0 ? RED : role->who ? role->colour : "";
        plain = PLAIN;
        dim = DIM;
    }
    Buffer text = {0};
    log_append_plain(&text, buffer_slice(&narrator->message));
    printf("%s%6.1f s%s  %s%-7s%s %s│%s %.*s\n", dim, (double)(now_ms() - narrator->start_ms) / 1000, plain, paint,
           role->who ? role->who : app, plain, dim, plain, SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
}

/* Tells the whole lines, keeps the rest. */
static void tell_lines(Narrator *narrator)
{
    Slice all = buffer_slice(&narrator->pending);
    size_t told = 0;

    for (const char *end; (end = memchr(all.data + told, '\n', all.size - told));) {
        size_t size = (size_t)(end - all.data) - told;
        tell(narrator, slice_make(all.data + told, size));
        told += size + 1;
    }
    narrator->pending.start += told;
    if (buffer_size(&narrator->pending) == 0) buffer_clear(&narrator->pending);
    if (fflush(stdout) == 0 || narrator->is_deaf) return;
    narrator->is_deaf = true;
    narrator->deaf(narrator->context);
}

static void *read_log(void *argument)
{
    Narrator *narrator = argument;

    for (;;) {
        char *room = buffer_reserve(&narrator->pending, READ_BYTES);
        if (!room) break;
        ssize_t size = read(narrator->read_fd, room, READ_BYTES);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        buffer_commit(&narrator->pending, (size_t)size);
        tell_lines(narrator);
    }
    return NULL;
}

Narrator *narrator_new(const NarratorRole *roles, void (*deaf)(void *context), void *context)
{
    Narrator *narrator = calloc(1, sizeof *narrator);
    int ends[2];

    if (!narrator) return NULL;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        free(narrator);
        return NULL;
    }
    narrator->roles = roles;
    narrator->deaf = deaf;
    narrator->context = context;
    narrator->read_fd = ends[0];
    narrator->log_fd = ends[1];
    narrator->colour = log_wants_colour(STDOUT_FILENO);
    narrator->start_ms = now_ms();
    if (pthread_create(&narrator->thread, NULL, read_log, narrator) != 0) {
        close(ends[0]);
        close(ends[1]);
        free(narrator);
        return NULL;
    }
    return narrator;
}

int narrator_log_fd(const Narrator *narrator)
{
    return narrator->log_fd;
}

bool narrator_free(Narrator *narrator)
{
    if (!narrator) return true;
    close(narrator->log_fd); /* the reader comes to the end */
    (void)pthread_join(narrator->thread, NULL);
    close(narrator->read_fd);
    buffer_free(&narrator->pending);
    buffer_free(&narrator->message);
    free(narrator);
    return !ferror(stdout);
}
