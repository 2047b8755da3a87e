/* path_walk.h - which entries of which folders decide what a path leads to, links followed by hand. Names only: nothing
 * is opened, and what is asked of the file system is lstat and readlink. */
#ifndef GATEHOUSE_NET_PATH_WALK_H
#define GATEHOUSE_NET_PATH_WALK_H

#include <stdint.h>

typedef enum {
    PATH_FOLDER, /* the way goes through this folder; `name` is NULL. It matters whether it is moved or removed */
    PATH_ENTRY,  /* a link that is followed, a name that is absent, the folder where the way ends: what it is matters */
    PATH_FILE    /* the end of the way: its content matters as well */
} PathRole;

/* `folder` is absolute and free of links. Both texts are valid during the call. */
typedef void PathVisit(void *context, PathRole role, const char *folder, const char *name);

/* Walks along `path` (relative: from the current folder) as far as it exists, and visits what matters on the way.
 * Returns a hash of what it met, so that two walks tell whether something moved in between. */
uint64_t path_walk(const char *path, PathVisit *each, void *context);

#endif
