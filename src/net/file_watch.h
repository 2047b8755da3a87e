/* file_watch.h - tells that something about a set of files may have changed. For the I/O thread.
 *
 * What is watched (inotify) are folders, not files: the one that a file is in, the ones that hold a link on the way to
 * it (`current -> releases/42`), and the nearest one that is there when others are not yet, or not any more. So it does
 * not matter whether an editor writes a file, truncates it or puts another one in its place, nor how a release is put
 * in place. Only names are looked at: whether the content is another one is for the reader to find out.
 *
 *     quiet ── something about a file of the set ──► settling ── FILE_WATCH_QUIET_MS without more ──► `changed`, quiet
 *
 * A file that was written and is still open (no close yet) has until FILE_WATCH_MOST_MS after the first event, which is
 * the longest that anything is put off: so a half-written file is rarely shown, and a storm becomes few calls. An
 * overflow of the kernel's queue counts as a change of everything. Events of other files in the same folders cost a
 * wake-up each FILE_WATCH_PAUSE_MS at most.
 *
 * Where the kernel refuses (its watches or instances have run out, a folder that may be passed but not read), the files
 * are looked at every FILE_WATCH_POLL_MS instead, and the kernel is asked again each time; file_watch_polls tells. What
 * neither shows: changes made by another machine on a network file system. */
#ifndef GATEHOUSE_NET_FILE_WATCH_H
#define GATEHOUSE_NET_FILE_WATCH_H

#include "net/loop.h"

#define FILE_WATCH_QUIET_MS 50
#define FILE_WATCH_MOST_MS 500
#define FILE_WATCH_PAUSE_MS 10
#define FILE_WATCH_POLL_MS 2000

typedef struct FileWatch FileWatch;

/* Watches nothing yet. `changed` is called from a timer, never inside a call, and may call file_watch_set and
 * file_watch_free. NULL without memory. */
FileWatch *file_watch_new(Loop *loop, void (*changed)(void *context), void *context);
void file_watch_free(FileWatch *watch); /* no call comes after it; NULL is fine */

/* Replaces the set: files that may not exist yet, absolute or relative to the current folder. Copied. What changed
 * before is not reported: who read the files first compares them once after this call. A call of `changed` that was due
 * stays due. False without memory: then the old set goes on. */
bool file_watch_set(FileWatch *watch, const char *const *paths, size_t count);

/* NULL when the kernel tells of every change. Otherwise why files are looked at every 2 s, and what to do, for people;
 * static. */
const char *file_watch_polls(const FileWatch *watch);

#endif
