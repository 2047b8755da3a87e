/* state_dir.c - see state_dir.h. */
#include "host/state_dir.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool join(char *out, size_t size, const char *folder, const char *name)
{
    int length = snprintf(out, size, "%s/%s", folder, name);
    return length >= 0 && (size_t)length < size;
}

bool state_dir_find(const char *configured, char *path, size_t path_size, char *message, size_t message_size)
{
    const char *xdg = getenv("XDG_STATE_HOME"); // NOLINT(concurrency-mt-unsafe): at the start, on one thread
    const char *home = getenv("HOME");          // NOLINT(concurrency-mt-unsafe)
    bool fits = false;
    if (configured && configured[0]) {
        int length = snprintf(path, path_size, "%s", configured);
        fits = length >= 0 && (size_t)length < path_size;
    } else if (xdg && xdg[0] == '/') { /* its specification says to ignore relative paths */
        fits = join(path, path_size, xdg, "gatehouse");
    } else if (home && home[0] == '/') {
        fits = join(path, path_size, home, ".local/state/gatehouse");
    } else {
        snprintf(message, message_size, "there is no place for keys and data: set HOME, or use --state-dir");
        return false;
    }
    if (!fits) snprintf(message, message_size, "the path of the state folder is too long");
    return fits;
}

/* mkdir -p with mode 0700. Returns an errno. */
static int make_folders(const char *path)
{
    char partial[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof partial) return ENAMETOOLONG;
    memcpy(partial, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (partial[i] != '/' && partial[i] != '\0') continue;
        partial[i] = '\0';
        if (mkdir(partial, S_IRWXU) != 0 && errno != EEXIST) {
            struct stat about;
            int error = errno;
            /* A parent on a read-only or foreign file system is fine when it is there. */
            if (stat(partial, &about) != 0 || !S_ISDIR(about.st_mode)) return error;
        }
        if (i < length) partial[i] = '/';
    }
    return 0;
}

bool state_dir_open(const char *configured, char *path, size_t path_size, char *message, size_t message_size)
{
    struct stat about;
    if (!state_dir_find(configured, path, path_size, message, message_size)) return false;

    int error = make_folders(path);
    if (error == 0 && stat(path, &about) != 0) error = errno;
    if (error != 0) {
        snprintf(message, message_size, "cannot make the state folder %s: %s; use --state-dir for another place", path,
                 strerror(error));
        return false;
    }
    if (!S_ISDIR(about.st_mode)) {
        snprintf(message, message_size, "the state folder %s is not a folder", path);
        return false;
    }
    if (about.st_uid != geteuid()) {
        snprintf(message, message_size,
                 "the state folder %s belongs to another user; use --state-dir for another place", path);
        return false;
    }
    if (about.st_mode & (S_IRWXG | S_IRWXO)) {
        snprintf(message, message_size, "the state folder %s can be accessed by others: run: chmod 700 %s", path, path);
        return false;
    }
    return true;
}

bool state_dir_path(const char *state_dir, const char *name, char *path, size_t path_size, char *message,
                    size_t message_size)
{
    if (join(path, path_size, state_dir, name)) return true;
    snprintf(message, message_size, "the path of the state folder is too long");
    return false;
}
