/* dead_letters_file.c - the dead letters on disk: lines of JSON, read at the start, appended, and written anew when
 * there are too many. See dead_letters.h. */
#define _GNU_SOURCE /* asprintf */
#include "app/dead_letters_private.h"

#include "app/atomic_file.h"
#include "protocol/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_NAME "dead.jsonl"
#define READ_MOST_BYTES (64u << 20)

/* --- one line ----------------------------------------------------------------------------------------------------- */

/* Raw JSON on one line: outside of strings a line break is a space, and inside it is no JSON. */
static void append_on_one_line(Buffer *out, const char *key, Slice json)
{
    if (json.size == 0) return;
    json_write_key(out, key);
    size_t start = buffer_size(out);
    buffer_append_slice(out, json);
    if (out->failed) return;
    for (char *at = out->base + out->start + start, *end = out->base + out->end; at < end; at++)
        if (*at == '\n' || *at == '\r') *at = ' ';
}

void dead_letter_write(const DeadLetter *letter, Buffer *out)
{
    const Message *message = letter->message;
    bool broken = message->payload.size > 0 && !json_validate(message->payload, NULL);

    buffer_append_char(out, '{');
    json_write_member_int(out, "id", (int64_t)letter->id);
    json_write_key(out, "event");
    json_write_string(out, message->name);
    if (broken) {
        json_write_key(out, "brokenPayload");
        json_write_string(out, message->payload);
    } else {
        append_on_one_line(out, "payload", message->payload);
    }
    if (json_validate(message->state_version, NULL)) append_on_one_line(out, "stateVersion", message->state_version);
    if (message->seq >= 0) json_write_member_int(out, "seq", message->seq);
    json_write_member_int(out, "receivedMs", message->received_ms);
    json_write_member_int(out, "connection", message->connection);
    json_write_member_string(out, "handler", letter->handler);
    json_write_member_string(out, "traceback", letter->traceback);
    json_write_member_int(out, "failedMs", letter->failed_ms);
    json_write_member_int(out, "attempts", letter->attempts);
    buffer_append_char(out, '}');
}

static bool get_int(Slice object, const char *key, int64_t least, int64_t most, int64_t *out)
{
    return json_get_int(json_find(object, key), out) && *out >= least && *out <= most;
}

/* The string as a text with a zero behind it, in `room`, which is cleared before. */
static const char *get_text(Slice object, const char *key, Buffer *room)
{
    buffer_clear(room);
    if (!json_get_string(json_find(object, key), room)) return NULL;
    buffer_append_char(room, '\0');
    return room->failed ? NULL : buffer_slice(room).data;
}

typedef struct {
    Buffer name, handler, traceback, payload;
} LineTexts;

static bool parse_letter(Slice text, DeadLetterLine *line, LineTexts *texts)
{
    int64_t connection = 0, attempts = 0;

    const char *name = get_text(text, "event", &texts->name);
    line->handler = get_text(text, "handler", &texts->handler);
    line->traceback = get_text(text, "traceback", &texts->traceback);
    if (!name || !line->handler || !line->traceback) return false;
    if (!get_int(text, "receivedMs", 0, INT64_MAX, &line->event.received_ms) ||
        !get_int(text, "failedMs", 0, INT64_MAX, &line->failed_ms) ||
        !get_int(text, "connection", 0, UINT_MAX, &connection) || !get_int(text, "attempts", 1, UINT_MAX, &attempts))
        return false;
    line->event.name = slice_make(name, buffer_size(&texts->name) - 1);
    line->event.payload = json_find(text, "payload");
    if (line->event.payload.size == 0 && get_text(text, "brokenPayload", &texts->payload))
        line->event.payload = slice_make(buffer_slice(&texts->payload).data, buffer_size(&texts->payload) - 1);
    line->event.state_version = json_find(text, "stateVersion");
    if (!get_int(text, "seq", 0, INT64_MAX, &line->event.seq)) line->event.seq = -1;
    line->event.connection = (unsigned)connection;
    line->attempts = (unsigned)attempts;
    return true;
}

static bool parse_line(Slice text, DeadLetterLine *line, LineTexts *texts)
{
    int64_t id = 0;

    *line = (DeadLetterLine){0};
    if (!json_validate(text, NULL) || json_type(text) != JSON_OBJECT) return false;
    line->gone = get_int(text, "gone", 1, INT64_MAX - 1, &id);
    if (!line->gone && !(get_int(text, "id", 1, INT64_MAX - 1, &id) && parse_letter(text, line, texts))) return false;
    line->id = (uint64_t)id;
    return true;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool read_lines(DeadLetters *letters, Slice text)
{
    LineTexts texts = {0};
    bool ok = true;

    while (ok && text.size > 0) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        DeadLetterLine line;
        if (!end) letters->rewrite = true; /* what is appended must not continue it */
        if (parse_line(slice_make(text.data, size), &line, &texts)) {
            ok = dead_letters_keep_read(letters, &line);
        } else if (size > 0) {
            letters->stats.broken++;
            letters->rewrite = true;
        }
        if (end) size++;
        text = slice_make(text.data + size, text.size - size);
    }
    buffer_free(&texts.name);
    buffer_free(&texts.handler);
    buffer_free(&texts.traceback);
    buffer_free(&texts.payload);
    return ok;
}

bool dead_letters_read_file(DeadLetters *letters, const char *folder)
{
    Buffer text = {0};
    bool ok = true;

    if (asprintf(&letters->path, "%s/" FILE_NAME, folder) < 0) {
        letters->path = NULL;
        return false;
    }
    AtomicFileResult result = atomic_file_read_private(letters->path, READ_MOST_BYTES, &text, letters->stats.problem,
                                                       sizeof letters->stats.problem);
    if (result == ATOMIC_FILE_DONE) {
        letters->file_bytes = buffer_size(&text);
        ok = read_lines(letters, buffer_slice(&text));
    }
    buffer_free(&text);
    /* What was evicted in reading would be told as gone; the file is written anew instead. */
    if (letters->pending_lines > 0) letters->rewrite = true;
    buffer_clear(&letters->pending);
    letters->pending_lines = 0;
    return ok;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static bool append_to_file(const char *path, Slice lines, char *problem, size_t problem_size)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    bool written = fd >= 0;

    while (written && lines.size > 0) {
        ssize_t size = write(fd, lines.data, lines.size);
        if (size < 0 && errno == EINTR) continue;
        written = size >= 0;
        if (written) lines = slice_make(lines.data + size, lines.size - (size_t)size);
    }
    if (!written) snprintf(problem, problem_size, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return written;
}

/* All letters as lines; what was pending is among them. Under both locks. */
static void write_all_lines(DeadLetters *letters, Buffer *out)
{
    /* In front, where it takes nothing away: the last id is not to be used again when its letter is gone. */
    buffer_append_format(out, "{\"gone\":%llu}\n", (unsigned long long)letters->next_id - 1);
    for (const DeadLetter *letter = letters->first; letter; letter = letter->next) {
        dead_letter_write(letter, out);
        buffer_append_char(out, '\n');
    }
    buffer_clear(&letters->pending);
}

/* Whether appending is not enough. Under both locks. */
static bool must_rewrite(const DeadLetters *letters)
{
    size_t usual_bytes = letters->limits.max_bytes;
    /* As text the letters may be larger than the ring is: not to write it anew for each of them then. */
    if (usual_bytes < letters->rewritten_bytes) usual_bytes = letters->rewritten_bytes;
    return letters->rewrite || letters->pending.failed ||
           letters->file_bytes + buffer_size(&letters->pending) > 2 * usual_bytes;
}

void dead_letters_flush(DeadLetters *letters)
{
    char problem[sizeof letters->stats.problem] = "there is no memory to write the dead letters";

    if (!letters->path) return;
    pthread_mutex_lock(&letters->file_lock);
    pthread_mutex_lock(&letters->lock);
    size_t lines = letters->pending_lines;
    bool rewrite = must_rewrite(letters);
    Buffer text = {0};
    if (lines > 0 && rewrite) {
        write_all_lines(letters, &text);
    } else {
        text = buffer_take(&letters->pending);
    }
    letters->pending_lines = 0;
    pthread_mutex_unlock(&letters->lock);

    bool ok = lines == 0;
    if (!ok && !text.failed) {
        Slice content = buffer_slice(&text);
        ok = rewrite ? atomic_file_write(letters->path, content, problem, sizeof problem) == ATOMIC_FILE_DONE
                     : append_to_file(letters->path, content, problem, sizeof problem);
        if (ok && rewrite) letters->file_bytes = letters->rewritten_bytes = content.size;
        if (ok && !rewrite) letters->file_bytes += content.size;
    }
    if (lines > 0) letters->rewrite = !ok;
    pthread_mutex_unlock(&letters->file_lock);
    buffer_free(&text);
    if (ok) return;

    pthread_mutex_lock(&letters->lock);
    letters->stats.unwritten += lines;
    memcpy(letters->stats.problem, problem, sizeof problem);
    pthread_mutex_unlock(&letters->lock);
}
