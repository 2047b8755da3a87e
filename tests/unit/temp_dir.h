/* temp_dir.h - a folder of its own for a test that needs real files, and the files in it by short names. */
#ifndef GATEHOUSE_TESTS_TEMP_DIR_H
#define GATEHOUSE_TESTS_TEMP_DIR_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char path[128];
} TempDir;

typedef struct {
    char text[512];
} TempPath;

static inline void temp_dir_make(TempDir *dir)
{
    const char *base = getenv("TMPDIR");
    snprintf(dir->path, sizeof dir->path, "%.100s/gatehouse.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir->path)) abort();
}

static inline int temp_dir_remove_one(const char *path, const struct stat *about, int type, struct FTW *walk)
{
    (void)about;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void temp_dir_remove(const char *path)
{
    nftw(path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Valid until the end of the statement. */
#define IN(dir, name) (temp_path((dir), (name)).text)

static inline TempPath temp_path(const TempDir *dir, const char *name)
{
    TempPath path;
    snprintf(path.text, sizeof path.text, "%s/%s", dir->path, name);
    return path;
}

static inline void temp_write_mode(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0) abort();
}

/* As a shell does: truncates, then writes. */
static inline void temp_write(const char *path, const char *text)
{
    temp_write_mode(path, text, O_CREAT | O_TRUNC);
}

/* As most editors do: another file, then renamed. */
static inline void temp_replace(const char *path, const char *text)
{
    char other[600];
    snprintf(other, sizeof other, "%s~new", path);
    temp_write(other, text);
    if (rename(other, path) != 0) abort();
}

/* Entries of a folder, without . and .. */
static inline size_t temp_count(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    if (!dir) return 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

#endif
