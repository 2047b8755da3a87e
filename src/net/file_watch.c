/* file_watch.c - see file_watch.h.
 *
 * An interest is a name in a folder; it belongs to the kernel's watch of the folder (wd). All of them are made anew
 * ("armed") from the paths when the set is replaced and whenever something happened that may have changed what a path
 * leads to: walking a few dozen paths costs less than to keep track. The kernel's watches stay where they are still
 * wanted, so that nothing is missed between.
 *
 * Arming looks first and watches then; so it is done again until two rounds saw the same. What happens after the second
 * look is in the kernel's queue. */
#define _GNU_SOURCE
#include "net/file_watch.h"

#include "net/path_walk.h"
#include "protocol/hash.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARM_ROUNDS 4         /* then whoever moves links that fast is noticed by the events of it */
#define READ_BYTES 16384     /* events of one read */
#define READ_MOST (1u << 20) /* and of one turn; the kernel's queue is smaller by default */

#define GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)
#define MOVED (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define WRITTEN (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)
#define MASK_FOLDER (IN_DELETE_SELF | IN_MOVE_SELF)
#define MASK_ENTRY (MASK_FOLDER | MOVED)
#define MASK_FILE (MASK_ENTRY | WRITTEN)

typedef struct {
    HashNode node; /* by wd */
    int wd;
    unsigned round; /* of arming in which it was wanted last */
} Folder;

typedef struct Interest Interest;
struct Interest {
    HashNode node; /* by wd and name */
    Interest *next;
    int wd;
    bool file; /* its content, too */
    char name[];
};

struct FileWatch {
    Loop *loop;
    void (*changed)(void *context);
    void *context;
    char **paths;
    size_t count;

    int fd; /* -1: no instance to be had */
    LoopWatch *descriptor;
    HashIndex folders;
    HashIndex interests;
    Interest *all;
    Folder **known; /* all folders */
    size_t known_count, known_capacity;
    unsigned round;
    bool stale;             /* what a path leads to may have changed since it was armed */
    const char *incomplete; /* why not everything is watched, or NULL */
    uint64_t polled;        /* incomplete: what the files looked like */

    bool settling, writing;
    int64_t first_ms, last_ms; /* settling: events */
    LoopTimer settle, resume, poll;
};

/* --- folders and interests ---------------------------------------------------------------------------------------- */

static const char *explain(int error)
{
    switch (error) {
    case ENOSPC: return "the kernel has no file watches left: raise fs.inotify.max_user_watches";
    case EMFILE: return "the kernel has no inotify instances left: raise fs.inotify.max_user_instances";
    case EACCES: return "a folder on the way to a file may not be read";
    case ENOMEM: return "there was no memory for a file watch";
    default: return "the kernel refused a file watch";
    }
}

static Folder *find_folder(const FileWatch *watch, int wd)
{
    HashNode *node = hash_first(&watch->folders, hash_of_number((uint64_t)wd));
    return node ? HEAP_OWNER(node, Folder, node) : NULL; /* the hash of a number is one to one */
}

static uint64_t hash_of_interest(int wd, const char *name)
{
    return hash_of_number(hash_of_slice(slice_of(name)) ^ (uint64_t)wd);
}

static Interest *find_interest(const FileWatch *watch, int wd, const char *name)
{
    for (HashNode *node = hash_first(&watch->interests, hash_of_interest(wd, name)); node; node = hash_next(node)) {
        Interest *interest = HEAP_OWNER(node, Interest, node);
        if (interest->wd == wd && strcmp(interest->name, name) == 0) return interest;
    }
    return NULL;
}

static bool add_interest(FileWatch *watch, int wd, const char *name, bool file)
{
    Interest *interest = find_interest(watch, wd, name);
    if (!interest) {
        size_t size = strlen(name) + 1;
        interest = malloc(sizeof *interest + size);
        if (!interest) return false;
        *interest = (Interest){.wd = wd, .next = watch->all};
        memcpy(interest->name, name, size);
        if (!hash_add(&watch->interests, &interest->node, hash_of_interest(wd, name))) {
            free(interest);
            return false;
        }
        watch->all = interest;
    }
    interest->file = interest->file || file;
    return true;
}

static void drop_interests(FileWatch *watch)
{
    while (watch->all) {
        Interest *interest = watch->all;
        watch->all = interest->next;
        hash_remove(&watch->interests, &interest->node);
        free(interest);
    }
}

static Folder *add_folder(FileWatch *watch, int wd)
{
    if (watch->known_count == watch->known_capacity) {
        size_t capacity = watch->known_capacity ? watch->known_capacity * 2 : 16;
        Folder **known = realloc(watch->known, capacity * sizeof(Folder *));
        if (!known) return NULL;
        watch->known = known;
        watch->known_capacity = capacity;
    }
    Folder *folder = calloc(1, sizeof *folder);
    if (!folder) return NULL;
    folder->wd = wd;
    if (!hash_add(&watch->folders, &folder->node, hash_of_number((uint64_t)wd))) {
        free(folder);
        return NULL;
    }
    watch->known[watch->known_count++] = folder;
    return folder;
}

static void drop_folder(FileWatch *watch, Folder *folder)
{
    for (size_t i = 0; i < watch->known_count; i++) {
        if (watch->known[i] != folder) continue;
        watch->known[i] = watch->known[--watch->known_count];
        break;
    }
    hash_remove(&watch->folders, &folder->node);
    free(folder);
}

/* --- arming ------------------------------------------------------------------------------------------------------- */

/* A path_walk visit. */
static void want(void *context, PathRole role, const char *path, const char *name)
{
    FileWatch *watch = context;
    uint32_t mask = role == PATH_FILE ? MASK_FILE : role == PATH_ENTRY ? MASK_ENTRY : MASK_FOLDER;

    int wd = inotify_add_watch(watch->fd, path, mask | IN_MASK_ADD | IN_ONLYDIR);
    if (wd < 0) {
        /* Gone since the look: the next round meets it. What is only passed through may be passed without a watch. */
        bool matters = errno != ENOENT && errno != ENOTDIR && (role != PATH_FOLDER || errno != EACCES);
        if (matters) watch->incomplete = explain(errno);
        return;
    }
    Folder *folder = find_folder(watch, wd);
    if (!folder) folder = add_folder(watch, wd);
    if (!folder) {
        inotify_rm_watch(watch->fd, wd);
        watch->incomplete = explain(ENOMEM);
        return;
    }
    folder->round = watch->round;
    if (name && !add_interest(watch, wd, name, role == PATH_FILE)) watch->incomplete = explain(ENOMEM);
}

static uint64_t walk_all(FileWatch *watch)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < watch->count; i++)
        seen = hash_of_number(seen ^ path_walk(watch->paths[i], want, watch));
    return seen;
}

static void drop_unwanted_folders(FileWatch *watch)
{
    for (size_t i = watch->known_count; i-- > 0;) {
        Folder *folder = watch->known[i];
        if (folder->round == watch->round) continue;
        inotify_rm_watch(watch->fd, folder->wd);
        drop_folder(watch, folder);
    }
}

static void drain(void *context);

static bool open_instance(FileWatch *watch)
{
    if (watch->fd >= 0) return true;
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0) return false;
    watch->descriptor = loop_watch(watch->loop, watch->fd, drain, NULL, watch);
    if (watch->descriptor) return true;
    close(watch->fd);
    watch->fd = -1;
    errno = EMFILE;
    return false;
}

/* What the files look like from outside. */
static uint64_t look(const FileWatch *watch)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < watch->count; i++) {
        struct stat about = {0};
        if (stat(watch->paths[i], &about) != 0) about = (struct stat){0};
        uint64_t facts[] = {(uint64_t)about.st_dev,          (uint64_t)about.st_ino,
                            (uint64_t)about.st_size,         (uint64_t)about.st_mtim.tv_sec,
                            (uint64_t)about.st_mtim.tv_nsec, (uint64_t)about.st_ctim.tv_sec,
                            (uint64_t)about.st_ctim.tv_nsec};
        seen = hash_of_number(seen ^ hash_of_slice(slice_make((const char *)facts, sizeof facts)));
    }
    return seen;
}

static void set_poll_timer(FileWatch *watch)
{
    int64_t due_ms = watch->incomplete ? loop_now_ms(watch->loop) + FILE_WATCH_POLL_MS : HEAP_NEVER;
    /* Without memory for the timer there is none for the polling: the set is what it was, and the next event arms
     * again. */
    if (!loop_timer_set(watch->loop, &watch->poll, due_ms)) watch->stale = true;
}

static void arm(FileWatch *watch)
{
    uint64_t seen = 0, before = 0;

    watch->stale = false;
    for (int i = 0; i < ARM_ROUNDS && (i < 2 || seen != before); i++) {
        before = seen;
        watch->incomplete = NULL;
        watch->round++;
        drop_interests(watch);
        if (watch->count > 0 && !open_instance(watch)) {
            watch->incomplete = explain(errno);
            break;
        }
        seen = walk_all(watch);
    }
    if (watch->fd >= 0) drop_unwanted_folders(watch);
    set_poll_timer(watch);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void set_settle_timer(FileWatch *watch)
{
    int64_t quiet_ms = watch->writing ? FILE_WATCH_MOST_MS : FILE_WATCH_QUIET_MS;
    int64_t due_ms = watch->last_ms + quiet_ms, latest_ms = watch->first_ms + FILE_WATCH_MOST_MS;
    loop_timer_set(watch->loop, &watch->settle, due_ms < latest_ms ? due_ms : latest_ms);
}

static void touch(FileWatch *watch)
{
    watch->last_ms = loop_now_ms(watch->loop);
    if (!watch->settling) watch->first_ms = watch->last_ms;
    watch->settling = true;
}

static void on_event(FileWatch *watch, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        watch->stale = true;
        touch(watch);
        return;
    }
    Folder *folder = find_folder(watch, event->wd);
    if (!folder) return; /* of a watch that was given up */
    if (event->mask & (GONE | IN_IGNORED)) {
        if (event->mask & IN_IGNORED) drop_folder(watch, folder);
        watch->stale = true;
        touch(watch);
        return;
    }
    const Interest *interest = event->len > 0 ? find_interest(watch, event->wd, event->name) : NULL;
    if (!interest || (!interest->file && !(event->mask & MOVED))) return;
    if (event->mask & MOVED) watch->stale = true;
    watch->writing = (event->mask & IN_MODIFY) != 0;
    touch(watch);
}

/* True if there was anything. */
static bool read_events(FileWatch *watch)
{
    alignas(struct inotify_event) char room[READ_BYTES];

    ssize_t size = read(watch->fd, room, sizeof room);
    if (size <= 0) return false;
    for (ssize_t at = 0; at < size;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(room + at);
        on_event(watch, event);
        at += (ssize_t)(sizeof *event + event->len);
    }
    return true;
}

/* The descriptor is readable. What follows is left to gather for a moment. */
static void drain(void *context)
{
    FileWatch *watch = context;
    for (size_t total = 0; total < READ_MOST && read_events(watch);)
        total += READ_BYTES;
    if (watch->stale) arm(watch);
    if (watch->settling) set_settle_timer(watch);
    if (loop_timer_set(watch->loop, &watch->resume, loop_now_ms(watch->loop) + FILE_WATCH_PAUSE_MS))
        loop_want_read(watch->descriptor, false);
}

static void on_resume(void *context)
{
    FileWatch *watch = context;
    loop_want_read(watch->descriptor, true);
}

static void on_settle(void *context)
{
    FileWatch *watch = context;
    int64_t now_ms = loop_now_ms(watch->loop);

    if (watch->fd >= 0) drain(watch); /* what gathers in the pause belongs to the same change */
    int64_t quiet_ms = watch->writing ? FILE_WATCH_MOST_MS : FILE_WATCH_QUIET_MS;
    if (now_ms < watch->last_ms + quiet_ms && now_ms < watch->first_ms + FILE_WATCH_MOST_MS)
        return; /* drain has set it */
    loop_timer_set(watch->loop, &watch->settle, HEAP_NEVER);
    watch->settling = watch->writing = false;
    if (watch->incomplete) watch->polled = look(watch);
    watch->changed(watch->context); /* may free it */
}

static void on_poll(void *context)
{
    FileWatch *watch = context;

    arm(watch);
    uint64_t now = look(watch); /* once more, too, when the kernel has taken over: nothing may fall between */
    if (now == watch->polled) return;
    watch->polled = now;
    touch(watch);
    set_settle_timer(watch);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

FileWatch *file_watch_new(Loop *loop, void (*changed)(void *context), void *context)
{
    FileWatch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    watch->loop = loop;
    watch->changed = changed;
    watch->context = context;
    watch->fd = -1;
    watch->settle = (LoopTimer){.fire = on_settle, .context = watch};
    watch->resume = (LoopTimer){.fire = on_resume, .context = watch};
    watch->poll = (LoopTimer){.fire = on_poll, .context = watch};
    return watch;
}

static void free_paths(char **paths, size_t count)
{
    for (size_t i = 0; paths && i < count; i++)
        free(paths[i]);
    free(paths);
}

void file_watch_free(FileWatch *watch)
{
    if (!watch) return;
    loop_timer_set(watch->loop, &watch->settle, HEAP_NEVER);
    loop_timer_set(watch->loop, &watch->resume, HEAP_NEVER);
    loop_timer_set(watch->loop, &watch->poll, HEAP_NEVER);
    drop_interests(watch);
    while (watch->known_count > 0)
        drop_folder(watch, watch->known[0]);
    if (watch->descriptor) loop_unwatch(watch->descriptor);
    hash_free(&watch->folders);
    hash_free(&watch->interests);
    free(watch->known);
    free_paths(watch->paths, watch->count);
    free(watch);
}

bool file_watch_set(FileWatch *watch, const char *const *paths, size_t count)
{
    char **copies = calloc(count ? count : 1, sizeof *copies);
    if (!copies) return false;
    for (size_t i = 0; i < count; i++) {
        copies[i] = strdup(paths[i]);
        if (!copies[i]) {
            free_paths(copies, i);
            return false;
        }
    }
    free_paths(watch->paths, watch->count);
    watch->paths = copies;
    watch->count = count;
    arm(watch);
    watch->polled = look(watch);
    return true;
}

const char *file_watch_polls(const FileWatch *watch)
{
    return watch->incomplete;
}
