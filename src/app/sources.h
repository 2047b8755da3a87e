/* sources.h - the files that a generation of an app read, with the content that it saw: what --watch watches, what
 * tells whether anything changed, and what a rollback loads again.
 *
 * Filled by the thread that loads, until it is sealed, by anybody; immutable from then on and readable by any thread. References
 * are counted, since a set outlives its generation for as long as somebody may want to go back to it. */
#ifndef GATEHOUSE_APP_SOURCES_H
#define GATEHOUSE_APP_SOURCES_H

#include "app/file.h"

#define SOURCES_KEEP_BYTES (64u << 20) /* content kept of all files of a set together */
#define SOURCES_MAX_FILES 16384 /* files remembered; what comes after is read, but neither watched nor rolled back */

typedef struct Sources Sources;

/* An empty set with one reference, for the caller. `keep_bytes` 0: SOURCES_KEEP_BYTES. NULL without memory. */
Sources *sources_new(size_t keep_bytes);
Sources *sources_ref(Sources *sources); /* any thread; returns the set */
void sources_unref(Sources *sources);   /* any thread; NULL is fine */

/* What file_read does, and the set remembers what came: the content, that there is no such file, or that it cannot be
 * read. Of a file that is read again the last content counts. A file that does not fit in what is left of `keep_bytes`
 * is remembered by its SHA-256 only: it is watched, but a rollback cannot bring it back.
 *
 * With `override` (sealed; may be NULL) the files of that set come out of it and not from the disk, also those that
 * were absent. One whose content was not kept is read from the disk, and is FILE_FAILED if it has changed since.
 *
 * In a sealed set nothing is remembered any more, so that bindings call this at any time; `override` is for the
 * load. */
FileResult sources_read(Sources *sources, const Sources *override, const char *path, size_t limit_bytes,
                        Buffer *content, char *problem, size_t problem_size);

/* Whether the file is there, as a reader would find it; if not, that is remembered. */
bool sources_has(Sources *sources, const Sources *override, const char *path);

/* By its loader, or by who does not wait for that any more. */
void sources_seal(Sources *sources);

/* Whether every file of the set (sealed) still has the content that was read, absent ones are still absent, and what
 * could not be read still cannot. Reads them all: not for the I/O thread. False, too, without memory. */
bool sources_same_on_disk(const Sources *sources);

/* The paths as they were given, in the order of their first reading, for file_watch_set. Borrowed from the set
 * (sealed). */
const char *const *sources_paths(const Sources *sources, size_t *count);

typedef struct {
    size_t files;       /* remembered, with absent ones */
    size_t kept_bytes;  /* of content */
    size_t hashed_only; /* files that a rollback cannot bring back */
    size_t forgotten;   /* reads over SOURCES_MAX_FILES, or for which there was no memory */
} SourcesStats;
void sources_stats(const Sources *sources, SourcesStats *out);

#endif
