/* path_walk.c - see path_walk.h. The way that was walked is in `at`, what is still to be walked in `rest`; a link puts
 * its target in front of the rest. A path that is too long, or links in a circle, end the walk as an absent name does:
 * nothing can open them either. */
#define _GNU_SOURCE
#include "net/path_walk.h"

#include "protocol/hash.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_LINKS 40 /* as the kernel has it */

typedef struct {
    PathVisit *visit;
    void *context;
    uint64_t seen;
    unsigned links;
    char at[PATH_MAX]; /* without a slash at its end: "" is the root */
    char rest[PATH_MAX];
    char name[NAME_MAX + 1];
} Walk;

static const char *folder_of(const Walk *walk)
{
    return walk->at[0] ? walk->at : "/";
}

static void visit(Walk *walk, PathRole role, const char *name)
{
    walk->visit(walk->context, role, folder_of(walk), name);
    walk->seen = hash_of_number(walk->seen ^ hash_of_slice(slice_of(folder_of(walk))) ^ (uint64_t)role);
    if (name) walk->seen = hash_of_number(walk->seen ^ hash_of_slice(slice_of(name)));
}

static bool begin(Walk *walk, const char *path)
{
    char current[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(current, sizeof current)) return false;
    return snprintf(walk->rest, sizeof walk->rest, "%s/%s", current, path) < (int)sizeof walk->rest;
}

/* Takes the next name from the rest. */
static bool next_name(Walk *walk)
{
    const char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");
    if (length == 0 || length > NAME_MAX) return false;
    memcpy(walk->name, start, length);
    walk->name[length] = '\0';
    memmove(walk->rest, start + length, strlen(start + length) + 1);
    return true;
}

static void go_up(Walk *walk)
{
    char *slash = strrchr(walk->at, '/');
    if (slash) *slash = '\0';
}

static bool go_into(Walk *walk)
{
    size_t length = strlen(walk->at);
    if (length + 1 + strlen(walk->name) >= sizeof walk->at) return false;
    snprintf(walk->at + length, sizeof walk->at - length, "/%s", walk->name);
    return true;
}

static bool follow(Walk *walk, const char *link)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length <= 0 || ++walk->links > MOST_LINKS) return false;
    target[length] = '\0';
    if (snprintf(rest, sizeof rest, "%s/%s", target, walk->rest) >= (int)sizeof rest) return false;
    memcpy(walk->rest, rest, strlen(rest) + 1);
    if (target[0] == '/') walk->at[0] = '\0';
    walk->seen = hash_of_number(walk->seen ^ hash_of_slice(slice_of(target)));
    return true;
}

/* One name further. False at the end of the way. */
static bool step(Walk *walk)
{
    char full[PATH_MAX + NAME_MAX + 2];
    struct stat about;

    if (!next_name(walk)) return false;
    if (strcmp(walk->name, ".") == 0) return true;
    if (strcmp(walk->name, "..") == 0) {
        go_up(walk);
        return true;
    }
    snprintf(full, sizeof full, "%s/%s", walk->at, walk->name);
    if (lstat(full, &about) != 0) {
        visit(walk, PATH_ENTRY, walk->name);
        return false;
    }
    walk->seen = hash_of_number(walk->seen ^ (uint64_t)about.st_ino ^ (uint64_t)about.st_dev << 32);
    if (S_ISLNK(about.st_mode)) {
        visit(walk, PATH_ENTRY, walk->name);
        return follow(walk, full);
    }
    if (S_ISDIR(about.st_mode) && walk->rest[strspn(walk->rest, "/")] && go_into(walk)) {
        visit(walk, PATH_FOLDER, NULL);
        return true;
    }
    visit(walk, PATH_FILE, walk->name);
    return false;
}

uint64_t path_walk(const char *path, PathVisit *each, void *context)
{
    Walk walk = {.visit = each, .context = context};
    if (!begin(&walk, path)) return 0;
    while (step(&walk))
        ;
    /* A folder that is removed while somebody stands in it says nothing; the one above it does. */
    const char *name = strrchr(walk.at, '/');
    if (name) {
        snprintf(walk.name, sizeof walk.name, "%s", name + 1);
        go_up(&walk);
        visit(&walk, PATH_ENTRY, walk.name);
    }
    return walk.seen;
}
