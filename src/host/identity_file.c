/* identity_file.c - see identity_file.h. The file: {"version":1,"deviceId":…,"seed":base64url,"createdAtMs":…}. */
#include "host/identity_file.h"

#include "app/atomic_file.h"
#include "host/state_dir.h"
#include "protocol/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>

#define FILE_NAME "device.json"
#define FILE_MAX_BYTES 4096
#define FILE_VERSION 1
#define SEED_TEXT_SIZE ((IDENTITY_SEED_SIZE * 4 + 2) / 3 + 1)

/* The content's buffer holds the secret key. */
static void wipe(Buffer *content)
{
    if (content->base) explicit_bzero(content->base, content->capacity);
    buffer_free(content);
}

static void write_content(Buffer *out, const Identity *identity, const uint8_t seed[IDENTITY_SEED_SIZE], int64_t now_ms)
{
    char seed_text[SEED_TEXT_SIZE];
    base64url_encode(seed, IDENTITY_SEED_SIZE, seed_text);
    buffer_reserve(out, FILE_MAX_BYTES); /* once: growing would leave copies of the key in freed memory */
    buffer_append_char(out, '{');
    json_write_member_int(out, "version", FILE_VERSION);
    json_write_member_string(out, "deviceId", identity_id(identity));
    json_write_member_string(out, "seed", seed_text);
    json_write_member_int(out, "createdAtMs", now_ms);
    buffer_append_text(out, "}\n");
    explicit_bzero(seed_text, sizeof seed_text);
}

/* NULL if it is not what write_content writes, or the id is not that of the key. */
static Identity *read_content(Slice content, int64_t *created_at_ms)
{
    uint8_t seed[IDENTITY_SEED_SIZE];
    int64_t version = 0;
    Identity *identity = NULL;
    Slice device_id = json_plain_string(json_find(content, "deviceId"));

    if (!json_validate(content, NULL)) return NULL;
    if (!json_get_int(json_find(content, "version"), &version) || version != FILE_VERSION) return NULL;
    if (!json_get_int(json_find(content, "createdAtMs"), created_at_ms)) return NULL;
    if (base64url_decode(json_plain_string(json_find(content, "seed")), seed, sizeof seed) == sizeof seed) {
        identity = identity_new(seed);
    }
    explicit_bzero(seed, sizeof seed);
    if (identity && !slice_is(device_id, identity_id(identity))) {
        identity_free(identity);
        identity = NULL;
    }
    return identity;
}

static Identity *load(const char *path, IdentityFileInfo *info, char *message, size_t message_size, bool *absent)
{
    Identity *identity = NULL;
    Buffer content = buffer_with_headroom(0);
    AtomicFileResult result = ATOMIC_FILE_FAILED;

    *absent = false;
    if (buffer_reserve(&content, 2 * FILE_MAX_BYTES)) {
        result = atomic_file_read_private(path, FILE_MAX_BYTES, &content, message, message_size);
    } else {
        snprintf(message, message_size, "no memory to read %s", path);
    }
    *absent = result == ATOMIC_FILE_ABSENT;
    if (result == ATOMIC_FILE_DONE) {
        identity = read_content(buffer_slice(&content), &info->created_at_ms);
        if (!identity) {
            snprintf(message, message_size,
                     "the device key in %s is damaged: restore it from a backup, or move it away to get a new key "
                     "(the gateway asks to pair again then)",
                     path);
        }
    }
    wipe(&content);
    return identity;
}

static AtomicFileResult make(const char *path, int64_t now_ms, char *message, size_t message_size)
{
    uint8_t seed[IDENTITY_SEED_SIZE];
    Buffer content = buffer_with_headroom(0);
    Identity *identity = NULL;
    AtomicFileResult result = ATOMIC_FILE_FAILED;
    ssize_t count = 0;

    do {
        count = getrandom(seed, sizeof seed, 0);
    } while (count < 0 && errno == EINTR);
    if (count != (ssize_t)sizeof seed) {
        snprintf(message, message_size, "the system gives no random numbers for a device key");
        goto out;
    }
    identity = identity_new(seed);
    if (identity) write_content(&content, identity, seed, now_ms);
    if (!identity || content.failed) {
        snprintf(message, message_size, "no memory for a device key");
        goto out;
    }
    result = atomic_file_create(path, buffer_slice(&content), message, message_size);
out:
    explicit_bzero(seed, sizeof seed);
    wipe(&content);
    identity_free(identity);
    return result;
}

Identity *identity_file_open(const char *state_dir, int64_t now_ms, IdentityFileInfo *info, char *message,
                             size_t message_size)
{
    char path[PATH_MAX];
    IdentityFileInfo unwanted;
    bool absent = false;

    if (!info) info = &unwanted;
    *info = (IdentityFileInfo){0};
    if (!state_dir_path(state_dir, FILE_NAME, path, sizeof path, message, message_size)) return NULL;
    Identity *identity = load(path, info, message, message_size, &absent);
    if (identity || !absent) return identity;

    AtomicFileResult result = make(path, now_ms, message, message_size);
    if (result == ATOMIC_FILE_FAILED) return NULL;
    /* Read back also what we wrote: another process may have been first, and then its key counts. */
    identity = load(path, info, message, message_size, &absent);
    if (absent) snprintf(message, message_size, "%s vanished while it was made", path);
    info->made_now = result == ATOMIC_FILE_DONE;
    return identity;
}
