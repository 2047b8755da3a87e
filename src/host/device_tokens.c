/* device_tokens.c - see device_tokens.h.
 *
 *     {"version":1,"deviceId":…,"tokens":[{"url":…,"role":…,"token":…,"savedAtMs":…},…]}
 *
 * Writers lock the folder, so that two processes do not lose each other's tokens; readers need no lock, since the file
 * is replaced as a whole. */
#include "host/device_tokens.h"

#include "app/atomic_file.h"
#include "host/state_dir.h"
#include "protocol/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define FILE_NAME "device-tokens.json"
#define FILE_MAX_BYTES (1u << 20)
#define FILE_VERSION 1

static void wipe(Buffer *content)
{
    if (content->base) explicit_bzero(content->base, content->capacity);
    buffer_free(content);
}

/* Reads the file into `content` and finds its array of tokens, empty when there is no file or another device's. */
static bool load(const char *path, const char *device_id, Buffer *content, Slice *tokens, char *message,
                 size_t message_size)
{
    int64_t version = 0;
    *tokens = slice_of("[]");
    AtomicFileResult result = atomic_file_read_private(path, FILE_MAX_BYTES, content, message, message_size);
    if (result != ATOMIC_FILE_DONE) return result == ATOMIC_FILE_ABSENT;

    Slice text = buffer_slice(content);
    Slice found = json_find(text, "tokens");
    if (!json_validate(text, NULL) || json_type(found) != JSON_ARRAY ||
        !json_get_int(json_find(text, "version"), &version) || version != FILE_VERSION) {
        snprintf(message, message_size, "the device tokens in %s are damaged: remove the file to get new ones", path);
        return false;
    }
    if (slice_is(json_plain_string(json_find(text, "deviceId")), device_id)) *tokens = found;
    return true;
}

static bool member_is(Slice object, const char *key, const char *text)
{
    Buffer value = buffer_with_headroom(0);
    bool same = json_get_string(json_find(object, key), &value) && slice_is(buffer_slice(&value), text);
    buffer_free(&value);
    return same;
}

static bool is_of(Slice entry, const DeviceTokenKey *key)
{
    return member_is(entry, "url", key->url) && member_is(entry, "role", key->role);
}

bool device_tokens_get(const DeviceTokenKey *key, char token[DEVICE_TOKENS_TOKEN_SIZE], char *message,
                       size_t message_size)
{
    char path[PATH_MAX];
    Buffer content = buffer_with_headroom(0);
    Slice tokens;
    Slice entry;

    token[0] = '\0';
    if (!state_dir_path(key->state_dir, FILE_NAME, path, sizeof path, message, message_size)) return false;
    bool done = load(path, key->device_id, &content, &tokens, message, message_size);
    JsonCursor cursor = json_cursor(tokens);
    while (done && json_next_element(&cursor, &entry)) {
        if (is_of(entry, key)) json_copy_string(json_find(entry, "token"), token, DEVICE_TOKENS_TOKEN_SIZE);
    }
    wipe(&content);
    return done;
}

bool device_tokens_each(const char *state_dir, const char *device_id,
                        void (*each)(void *context, const char *url, const char *role, int64_t saved_at_ms),
                        void *context, char *message, size_t message_size)
{
    char path[PATH_MAX], url[2048], role[128];
    Buffer content = buffer_with_headroom(0);
    Slice tokens;
    Slice entry;

    if (!state_dir_path(state_dir, FILE_NAME, path, sizeof path, message, message_size)) return false;
    bool done = load(path, device_id, &content, &tokens, message, message_size);
    JsonCursor cursor = json_cursor(tokens);
    while (done && json_next_element(&cursor, &entry)) {
        int64_t saved_at_ms = 0;
        (void)json_get_int(json_find(entry, "savedAtMs"), &saved_at_ms);
        if (!json_copy_string(json_find(entry, "url"), url, sizeof url)) continue;
        (void)json_copy_string(json_find(entry, "role"), role, sizeof role);
        each(context, url, role, saved_at_ms);
    }
    wipe(&content);
    return done;
}

static void write_entry(Buffer *out, const DeviceTokenKey *key, const char *token, int64_t now_ms)
{
    buffer_append_char(out, '{');
    json_write_member_string(out, "url", key->url);
    json_write_member_string(out, "role", key->role);
    json_write_member_string(out, "token", token);
    json_write_member_int(out, "savedAtMs", now_ms);
    buffer_append_char(out, '}');
}

/* The file with the entry of `key` replaced, added, or with a NULL token left out. */
static void write_content(Buffer *out, const DeviceTokenKey *key, Slice tokens, const char *token, int64_t now_ms)
{
    Slice entry;
    JsonCursor cursor = json_cursor(tokens);
    bool first = true;

    buffer_reserve(out, tokens.size + 8192); /* mostly enough: growing leaves copies of tokens in freed memory */
    buffer_append_char(out, '{');
    json_write_member_int(out, "version", FILE_VERSION);
    json_write_member_string(out, "deviceId", key->device_id);
    json_write_key(out, "tokens");
    buffer_append_char(out, '[');
    while (json_next_element(&cursor, &entry)) {
        if (is_of(entry, key)) continue;
        if (!first) buffer_append_char(out, ',');
        buffer_append_slice(out, entry);
        first = false;
    }
    if (token && !first) buffer_append_char(out, ',');
    if (token) write_entry(out, key, token, now_ms);
    buffer_append_text(out, "]}\n");
}

/* The lock ends with the descriptor. */
static int lock_folder(const char *state_dir, char *message, size_t message_size)
{
    int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = -1;
    while (fd >= 0 && (failed = flock(fd, LOCK_EX)) != 0 && errno == EINTR)
        continue;
    if (fd >= 0 && failed == 0) return fd;
    snprintf(message, message_size, "cannot lock the state folder %s: %s", state_dir, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

bool device_tokens_put(const DeviceTokenKey *key, const char *token, int64_t now_ms, char *message, size_t message_size)
{
    char path[PATH_MAX];
    Buffer before = buffer_with_headroom(0);
    Buffer after = buffer_with_headroom(0);
    Slice tokens;
    bool done = false;

    if (token && strlen(token) >= DEVICE_TOKENS_TOKEN_SIZE) {
        snprintf(message, message_size, "the gateway's device token is too long to be stored");
        return false;
    }
    if (!state_dir_path(key->state_dir, FILE_NAME, path, sizeof path, message, message_size)) return false;
    int lock = lock_folder(key->state_dir, message, message_size);
    if (lock < 0) return false;

    if (!load(path, key->device_id, &before, &tokens, message, message_size)) goto out;
    write_content(&after, key, tokens, token, now_ms);
    if (after.failed) {
        snprintf(message, message_size, "no memory for the device tokens in %s", path);
        goto out;
    }
    done = atomic_file_write(path, buffer_slice(&after), message, message_size) == ATOMIC_FILE_DONE;
out:
    close(lock);
    wipe(&before);
    wipe(&after);
    return done;
}
