/* sources.c - see sources.h. */
#include "app/sources.h"

#include "protocol/hash.h"
#include "protocol/heap.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHA256_BYTES 32

typedef enum { SOURCE_KEPT, SOURCE_HASHED, SOURCE_ABSENT, SOURCE_UNREADABLE } SourceKind;

typedef struct {
    HashNode node; /* by path */
    char *path;
    SourceKind kind;
    size_t limit_bytes; /* what it was read with */
    char *content;      /* KEPT; NULL for an empty file */
    size_t size;        /* KEPT, HASHED */
    unsigned char sha256[SHA256_BYTES];
} Source;

struct Sources {
    atomic_uint references;
    pthread_mutex_t lock; /* of all below until it is sealed: it may be sealed while its loader still reads */
    bool sealed;
    size_t keep_bytes;
    HashIndex index;
    Source **files;
    char **paths; /* beside `files`, for sources_paths */
    size_t capacity;
    SourcesStats stats; /* `files` is the count of both arrays */
};

Sources *sources_new(size_t keep_bytes)
{
    Sources *sources = calloc(1, sizeof *sources);
    if (!sources) return NULL;
    pthread_mutex_init(&sources->lock, NULL);
    atomic_init(&sources->references, 1);
    sources->keep_bytes = keep_bytes ? keep_bytes : SOURCES_KEEP_BYTES;
    return sources;
}

Sources *sources_ref(Sources *sources)
{
    atomic_fetch_add_explicit(&sources->references, 1, memory_order_relaxed);
    return sources;
}

static void source_free(Source *source)
{
    free(source->path);
    free(source->content);
    free(source);
}

void sources_unref(Sources *sources)
{
    if (!sources) return;
    if (atomic_fetch_sub_explicit(&sources->references, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < sources->stats.files; i++)
        source_free(sources->files[i]);
    hash_free(&sources->index);
    pthread_mutex_destroy(&sources->lock);
    free(sources->files);
    free(sources->paths);
    free(sources);
}

static Source *find(const Sources *sources, const char *path)
{
    for (HashNode *node = hash_first(&sources->index, hash_of_slice(slice_of(path))); node; node = hash_next(node)) {
        Source *source = HEAP_OWNER(node, Source, node);
        if (strcmp(source->path, path) == 0) return source;
    }
    return NULL;
}

static bool make_room(Sources *sources)
{
    if (sources->stats.files < sources->capacity) return true;
    size_t capacity = sources->capacity ? sources->capacity * 2 : 16;
    Source **files = realloc(sources->files, capacity * sizeof *files);
    if (!files) return false;
    sources->files = files;
    char **paths = realloc(sources->paths, capacity * sizeof *paths);
    if (!paths) return false;
    sources->paths = paths;
    sources->capacity = capacity;
    return true;
}

static Source *add(Sources *sources, const char *path)
{
    if (sources->stats.files >= SOURCES_MAX_FILES || !make_room(sources)) return NULL;
    Source *source = calloc(1, sizeof *source);
    if (!source) return NULL;
    source->kind = SOURCE_ABSENT;
    source->path = strdup(path);
    if (!source->path || !hash_add(&sources->index, &source->node, hash_of_slice(slice_of(path)))) {
        source_free(source);
        return NULL;
    }
    sources->files[sources->stats.files] = source;
    sources->paths[sources->stats.files++] = source->path;
    return source;
}

/* False if OpenSSL has no memory. */
static bool digest(Slice content, unsigned char out[SHA256_BYTES])
{
    return EVP_Digest(content.data, content.size, out, NULL, EVP_sha256(), NULL) == 1;
}

static void forget_content(Sources *sources, Source *source)
{
    if (source->kind == SOURCE_KEPT) sources->stats.kept_bytes -= source->size;
    if (source->kind == SOURCE_HASHED) sources->stats.hashed_only--;
    free(source->content);
    source->content = NULL;
    source->size = 0;
}

/* What does not fit, or for which there is no memory, is kept as a hash. */
static void keep_content(Sources *sources, Source *source, Slice content)
{
    source->size = content.size;
    if (content.size <= sources->keep_bytes - sources->stats.kept_bytes) {
        source->content = content.size > 0 ? malloc(content.size) : NULL;
        if (source->content || content.size == 0) {
            if (content.size > 0) memcpy(source->content, content.data, content.size);
            source->kind = SOURCE_KEPT;
            sources->stats.kept_bytes += content.size;
            return;
        }
    }
    sources->stats.hashed_only++;
    source->kind = SOURCE_HASHED;
    /* A hash that cannot be made is equal to no content: the file then counts as changed. */
    if (!digest(content, source->sha256)) memset(source->sha256, 0, sizeof source->sha256);
}

static void remember_unsealed(Sources *sources, const char *path, size_t limit_bytes, FileResult result, Slice content)
{
    if (sources->sealed) return;
    Source *source = find(sources, path);
    if (!source) source = add(sources, path);
    if (!source) {
        sources->stats.forgotten++;
        return;
    }
    forget_content(sources, source);
    source->limit_bytes = limit_bytes;
    switch (result) {
    case FILE_READ: keep_content(sources, source, content); break;
    case FILE_MISSING: source->kind = SOURCE_ABSENT; break;
    case FILE_TOO_LARGE:
    case FILE_FAILED: source->kind = SOURCE_UNREADABLE; break;
    }
}

static void remember(Sources *sources, const char *path, size_t limit_bytes, FileResult result, Slice content)
{
    pthread_mutex_lock(&sources->lock);
    remember_unsealed(sources, path, limit_bytes, result, content);
    pthread_mutex_unlock(&sources->lock);
}

/* Whether `result` and `content` are what the set knows of the file. */
static bool is_same(const Source *source, FileResult result, Slice content)
{
    unsigned char sha256[SHA256_BYTES];

    switch (source->kind) {
    case SOURCE_KEPT: return result == FILE_READ && slice_equals(content, slice_make(source->content, source->size));
    case SOURCE_HASHED:
        return result == FILE_READ && content.size == source->size && digest(content, sha256) &&
               memcmp(sha256, source->sha256, sizeof sha256) == 0;
    case SOURCE_ABSENT: return result == FILE_MISSING;
    case SOURCE_UNREADABLE: return result == FILE_FAILED || result == FILE_TOO_LARGE;
    }
    return false;
}

static Slice behind(const Buffer *buffer, size_t offset)
{
    Slice all = buffer_slice(buffer);
    return slice_make(all.data + offset, all.size - offset);
}

/* From what an earlier generation read. */
static FileResult read_kept(const Source *source, size_t limit_bytes, Buffer *content, char *problem,
                            size_t problem_size)
{
    size_t before = buffer_size(content);
    FileResult result = FILE_READ;

    switch (source->kind) {
    case SOURCE_KEPT:
        if (source->size > limit_bytes) {
            snprintf(problem, problem_size, "%.300s is larger than %zu MiB", source->path, limit_bytes >> 20);
            return FILE_TOO_LARGE;
        }
        buffer_append(content, source->content, source->size);
        if (!content->failed) return FILE_READ;
        snprintf(problem, problem_size, "cannot read %.300s: there is no memory for it", source->path);
        return FILE_FAILED;
    case SOURCE_ABSENT:
        snprintf(problem, problem_size, "cannot open %.300s: it was not there when this source was loaded first",
                 source->path);
        return FILE_MISSING;
    case SOURCE_UNREADABLE:
        snprintf(problem, problem_size,
                 "cannot read %.300s: it could not be read either when this source was loaded first", source->path);
        return FILE_FAILED;
    case SOURCE_HASHED:
        result = file_read(source->path, limit_bytes, content, problem, problem_size);
        if (result != FILE_READ || is_same(source, result, behind(content, before))) return result;
        snprintf(problem, problem_size, "%.300s was too large to be kept for going back, and has changed since",
                 source->path);
        return FILE_FAILED;
    }
    return FILE_FAILED;
}

FileResult sources_read(Sources *sources, const Sources *override, const char *path, size_t limit_bytes,
                        Buffer *content, char *problem, size_t problem_size)
{
    size_t before = buffer_size(content);
    const Source *kept = override ? find(override, path) : NULL;
    FileResult result = kept ? read_kept(kept, limit_bytes, content, problem, problem_size)
                             : file_read(path, limit_bytes, content, problem, problem_size);
    remember(sources, path, limit_bytes, result, result == FILE_READ ? behind(content, before) : slice_of(NULL));
    return result;
}

bool sources_has(Sources *sources, const Sources *override, const char *path)
{
    const Source *kept = override ? find(override, path) : NULL;
    bool there = kept ? kept->kind != SOURCE_ABSENT : access(path, R_OK) == 0;
    FileResult why = kept || errno == ENOENT || errno == ENOTDIR ? FILE_MISSING : FILE_FAILED;
    if (!there) remember(sources, path, 0, why, slice_of(NULL));
    return there;
}

void sources_seal(Sources *sources)
{
    pthread_mutex_lock(&sources->lock);
    sources->sealed = true;
    pthread_mutex_unlock(&sources->lock);
}

bool sources_same_on_disk(const Sources *sources)
{
    Buffer content = {0};
    bool same = true;

    for (size_t i = 0; same && i < sources->stats.files; i++) {
        const Source *source = sources->files[i];
        char problem[512];
        buffer_clear(&content);
        FileResult result = file_read(source->path, source->limit_bytes, &content, problem, sizeof problem);
        same = !content.failed && is_same(source, result, buffer_slice(&content));
    }
    buffer_free(&content);
    return same;
}

const char *const *sources_paths(const Sources *sources, size_t *count)
{
    *count = sources->stats.files;
    return (const char *const *)sources->paths;
}

void sources_stats(const Sources *sources, SourcesStats *out)
{
    *out = sources->stats;
}
