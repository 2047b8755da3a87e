/* config_secrets.c - the token file: only its owner may read it. */
#include "host/config.h"

#include "host/config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONGEST 4096 /* bytes of a token */

/* Reads up to `room` bytes; -1 with errno. */
static ssize_t read_all(int fd, char *text, size_t room)
{
    size_t size = 0;

    while (size < room) {
        ssize_t part = read(fd, text + size, room - size);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) return -1;
        if (part == 0) break;
        size += (size_t)part;
    }
    return (ssize_t)size;
}

/* Returns what is wrong with the token, NULL if it is well. Cuts the line's end off. */
static const char *trim_token(char *text, size_t size)
{
    if (size > LONGEST) return "it is too long for a token";
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    text[size] = '\0';
    if (size == 0) return "it is empty";
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return "it must hold the token and nothing else, in one line";
    }
    return NULL;
}

/* A pipe is fine too: --token-file <(pass show gateway). But not `again`, while the host runs: it has no more to give, and
 * whoever opened one without a writer would wait. NULL with a sentence in `problem`. */
static char *read_token_file(const char *path, const char *origin, bool again, char *problem, size_t problem_size)
{
    char *text = calloc(1, LONGEST + 2), *token = NULL;
    const char *wrong = NULL;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (again ? O_NONBLOCK : 0));

    if (!text) {
        wrong = "there is not enough memory";
    } else if (fd < 0 || fstat(fd, &status) != 0) {
        (void)config_fail(problem, problem_size, "%s: the token file %s cannot be read: %s", origin, path,
                          strerror(errno));
        goto out;
    } else if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
        wrong = "it is no file";
    } else if (again && S_ISFIFO(status.st_mode)) {
        wrong = "a pipe is read once, at the start";
    } else if (status.st_mode & (S_IRWXG | S_IRWXO)) {
        (void)config_fail(problem, problem_size, "%s: others can read or write the token file %s; run: chmod 600 %s",
                          origin, path, path);
        goto out;
    } else {
        ssize_t size = read_all(fd, text, LONGEST + 1);
        wrong = size < 0 ? strerror(errno) : trim_token(text, (size_t)size);
    }
    if (wrong) {
        (void)config_fail(problem, problem_size, "%s: the token file %s: %s", origin, path, wrong);
    } else {
        token = strdup(text);
    }
out:
    if (fd >= 0) (void)close(fd);
    if (text) explicit_bzero(text, LONGEST + 2);
    free(text);
    return token;
}

bool config_read_secrets(Config *config, char *problem, size_t problem_size)
{
    const SettingValue *file = &config->values[SETTING_TOKEN_FILE];
    char *token = NULL;

    if (file->text && file->arrival > config->token_arrival) {
        token = read_token_file(file->text, config_origin(config, SETTING_TOKEN_FILE), config->token != NULL, problem,
                                problem_size);
        if (!token) return false;
    } else if (config->environment_token) {
        token = strdup(config->environment_token);
        if (!token) return config_fail(problem, problem_size, "there is not enough memory");
    }
    config_wipe(config->token);
    config->token = token;
    return true;
}
