/* state_file.c - see state_file.h. */
#define _GNU_SOURCE /* strerror_r */
#include "app/atomic_file.h"
#include "app/file.h"
#include "app/state_file.h"
#include "protocol/json.h"
#include "protocol/json_scan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NAME "state.bin"
#define OLD_NAME "state.json"
#define IMPORTED_NAME OLD_NAME ".imported"
#define MAGIC "GHstate\n"
#define MAGIC_BYTES 8
#define FORMAT 1
#define SIZE_AT (MAGIC_BYTES + 4)
#define SUM_AT (SIZE_AT + 8)
#define HEADER_BYTES (SUM_AT + SHA256_DIGEST_LENGTH)

static bool make_path(char path[PATH_MAX], const char *folder, const char *name, char *sentence, size_t sentence_size)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX) return true;
    snprintf(sentence, sentence_size, "the path of %.200s… is too long", folder);
    return false;
}

/* --- the header --------------------------------------------------------------------------------------------------------------- */

static void put_number(char *to, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (char)(number >> (8 * i));
}

static uint64_t get_number(const char *from, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return number;
}

static void sum(Slice content, unsigned char digest[SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)content.data, content.size, digest);
}

/* What is wrong with the file, NULL if nothing is. */
static const char *find_damage(Slice file)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (file.size < HEADER_BYTES) return "is cut off";
    if (memcmp(file.data, MAGIC, MAGIC_BYTES) != 0) return "is not a file of gatehouse";
    if (get_number(file.data + MAGIC_BYTES, 4) != FORMAT) return "has a format that never was";
    if (get_number(file.data + SIZE_AT, 8) != file.size - HEADER_BYTES) return "does not have the size that it says";
    sum(slice_make(file.data + HEADER_BYTES, file.size - HEADER_BYTES), digest);
    return memcmp(digest, file.data + SUM_AT, sizeof digest) == 0 ? NULL : "is damaged: its checksum is wrong";
}

static bool is_newer(Slice file)
{
    return file.size >= SIZE_AT && memcmp(file.data, MAGIC, MAGIC_BYTES) == 0 &&
           get_number(file.data + MAGIC_BYTES, 4) > FORMAT;
}

/* Of state.json, in `reason`. */
static const char *find_json_damage(Slice text, char *reason, size_t reason_size)
{
    JsonError error = {0, "an object is expected"};
    const char *end = text.data + text.size, *first = json_skip_space(text.data, end);
    bool object = first < end && *first == '{';
    if (object && json_check_utf8(text, &error) && json_validate(text, &error)) return NULL;
    snprintf(reason, reason_size, "is broken (byte %zu: %s)", error.offset, error.text);
    return reason;
}

/* --- reading ------------------------------------------------------------------------------------------------------------------ */

/* What the operator may still want to look at stays. */
static StateFileResult move_aside(const char *path, const char *damage, bool look_only, char *sentence,
                                  size_t sentence_size)
{
    char aside[PATH_MAX], reason[128];
    if (look_only) {
        snprintf(sentence, sentence_size, "%s %s: the app would begin with an empty gw.state", path, damage);
        return STATE_FILE_BROKEN;
    }
    bool fits = snprintf(aside, sizeof aside, "%s.broken-%lld", path, (long long)time(NULL)) < (int)sizeof aside;
    if (fits && rename(path, aside) == 0) {
        snprintf(sentence, sentence_size, "%s %s: moved to %s, the app begins with an empty gw.state", path, damage,
                 aside);
        return STATE_FILE_BROKEN;
    }
    snprintf(sentence, sentence_size, "%s %s, and cannot be moved aside: %s", path, damage,
             fits ? strerror_r(errno, reason, sizeof reason) : "the name is too long");
    return STATE_FILE_FAILED;
}

/* state.bin or, with `json`, state.json. */
static StateFileResult read_one(const char *path, bool json, bool look_only, Buffer *bytes, char *sentence,
                                size_t sentence_size)
{
    StateFileResult result = STATE_FILE_FAILED;
    Buffer file = buffer_with_headroom(0);
    char reason[256];
    const char *damage;
    switch (file_read(path, STATE_FILE_MAX_BYTES, &file, sentence, sentence_size)) {
    case FILE_READ: break;
    case FILE_MISSING: result = STATE_FILE_ABSENT; goto out;
    default: goto out;
    }
    Slice content = buffer_slice(&file);
    if (!json && is_newer(content)) {
        snprintf(sentence, sentence_size, "%s was written by a newer release of gatehouse", path);
        goto out;
    }
    damage = json ? find_json_damage(content, reason, sizeof reason) : find_damage(content);
    if (damage) {
        result = move_aside(path, damage, look_only, sentence, sentence_size);
        goto out;
    }
    size_t header = json ? 0 : HEADER_BYTES;
    buffer_append(bytes, content.data + header, content.size - header);
    if (bytes->failed)
        snprintf(sentence, sentence_size, "not enough memory for %s", path);
    else
        result = STATE_FILE_DONE;
out:
    buffer_free(&file);
    return result;
}

/* Whether the name is one that app/atomic_file gave to a write that did not come to its end. */
static bool is_unfinished(const char *name)
{
    return strncmp(name, NAME ".", sizeof NAME) == 0 && strlen(name) == sizeof NAME + 6;
}

void state_file_sweep(const char *folder)
{
    char path[PATH_MAX];
    DIR *entries = opendir(folder);
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (is_unfinished(entry->d_name) &&
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path)
            (void)unlink(path);
    }
    closedir(entries);
}

StateFileResult state_file_read(const char *folder, bool look_only, Buffer *bytes, char *sentence, size_t sentence_size)
{
    char path[PATH_MAX];
    if (!make_path(path, folder, NAME, sentence, sentence_size)) return STATE_FILE_FAILED;
    StateFileResult result = read_one(path, false, look_only, bytes, sentence, sentence_size);
    if (result != STATE_FILE_ABSENT) return result;
    if (!make_path(path, folder, OLD_NAME, sentence, sentence_size)) return STATE_FILE_FAILED;
    return read_one(path, true, look_only, bytes, sentence, sentence_size);
}

/* --- writing ------------------------------------------------------------------------------------------------------------------ */

/* Now that its content is in state.bin, it must not come back should that be removed one day. */
static void retire_old(const char *folder)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (snprintf(from, sizeof from, "%s/%s", folder, OLD_NAME) < (int)sizeof from &&
        snprintf(to, sizeof to, "%s/%s", folder, IMPORTED_NAME) < (int)sizeof to)
        (void)rename(from, to);
}

bool state_file_write(const char *folder, Slice bytes, char *sentence, size_t sentence_size)
{
    char path[PATH_MAX], header[HEADER_BYTES] = MAGIC;
    bool written = false;
    Buffer file = buffer_with_headroom(0);
    if (!make_path(path, folder, NAME, sentence, sentence_size)) return false;
    put_number(header + MAGIC_BYTES, FORMAT, 4);
    put_number(header + SIZE_AT, bytes.size, 8);
    sum(bytes, (unsigned char *)header + SUM_AT);
    (void)buffer_reserve(&file, sizeof header + bytes.size);
    buffer_append(&file, header, sizeof header);
    buffer_append_slice(&file, bytes);
    if (file.failed)
        snprintf(sentence, sentence_size, "cannot write %s: not enough memory", path);
    else
        written = atomic_file_write(path, buffer_slice(&file), sentence, sentence_size) == ATOMIC_FILE_DONE;
    if (written) retire_old(folder);
    buffer_free(&file);
    return written;
}
