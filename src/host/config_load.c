/* config_load.c - gatehouse.lua, which api/config_file made JSON of, into settings and apps. */
#define _GNU_SOURCE /* asprintf */
#include "host/config.h"

#include "api/config_file.h"
#include "host/config_private.h"
#include "host/suggest.h"
#include "protocol/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    Config *config;
    const char *path; /* of the file, as given */
    int folder_size;  /* of the part of `path` in front of the last slash, with it */
    char *problem;
    size_t problem_size;
} Loader;

static const char *const app_keys[] = {"path",       "config",   "memory",         "cpu",         "grace",
                                       "sandbox",    "overflow", "overflow_limit", "drop_oldest", "drop_newest",
                                       "quarantine", "rollback", "dead_letters"};

static bool out_of_memory(const Loader *loader)
{
    return config_fail(loader->problem, loader->problem_size, "%s: there is not enough memory", loader->path);
}

/* A path in the file is relative to the file's folder. NULL without memory. */
static char *resolve(const Loader *loader, const char *path)
{
    char *resolved = NULL;

    if (*path == '/') return strdup(path);
    if (asprintf(&resolved, "%.*s%s", loader->folder_size, loader->path, path) < 0) return NULL;
    return resolved;
}

static bool unknown_key(const Loader *loader, const char *place, Slice key, const Suggestion *suggestion)
{
    char hint[80];

    return config_fail(loader->problem, loader->problem_size, "%s: %s\"%.*s\" is no setting%s", loader->path, place,
                       SLICE_ARGS(key), suggest_text(suggestion, hint, sizeof hint));
}

/* --- settings ---------------------------------------------------------------------------------------------------------- */

static bool append_item(const Loader *loader, const char *origin, Slice item, Buffer *text)
{
    Slice plain = json_plain_string(item);

    for (size_t i = 0; i < plain.size; i++) {
        if (plain.data[i] == ',' || plain.data[i] == ' ') plain.size = 0; /* would be two names */
    }
    if (plain.size == 0)
        return config_fail(loader->problem, loader->problem_size, "%s: it must be a list of names", origin);
    if (buffer_size(text) > 0) buffer_append_char(text, ',');
    buffer_append_slice(text, plain);
    return true;
}

static bool list_text(const Loader *loader, const char *origin, const char *example, Slice value, Buffer *text)
{
    JsonCursor cursor = json_cursor(value);
    Slice item, key;

    if (json_type(value) == JSON_ARRAY) {
        while (json_next_element(&cursor, &item)) {
            if (!append_item(loader, origin, item, text)) return false;
        }
        return true;
    }
    /* An empty Lua table is {}. */
    if (json_type(value) == JSON_OBJECT && !json_next_member(&cursor, &key, &item)) return true;
    return config_fail(loader->problem, loader->problem_size, "%s: it must be a list, as in %s", origin, example);
}

/* The value of a setting in the file as the text that config_set wants. */
static bool setting_text(const Loader *loader, const SettingInfo *info, const char *origin, Slice value, Buffer *text)
{
    JsonType type = json_type(value);

    if (info->kind == KIND_LIST) return list_text(loader, origin, "{ \"operator.read\" }", value, text);
    if (info->kind == KIND_FLAG) {
        if (type != JSON_TRUE && type != JSON_FALSE) {
            return config_fail(loader->problem, loader->problem_size, "%s: it must be true or false", origin);
        }
        buffer_append_slice(text, value);
        return true;
    }
    if (type != JSON_STRING || !json_get_string(value, text) || memchr(buffer_slice(text).data, 0, buffer_size(text))) {
        return config_fail(loader->problem, loader->problem_size, "%s: it must be a text", origin);
    }
    return true;
}

static bool load_setting(const Loader *loader, Setting setting, Slice value)
{
    const SettingInfo *info = &setting_infos[setting];
    char origin[PATH_MAX + 64];
    Buffer text = {0};
    char *resolved = NULL;

    (void)snprintf(origin, sizeof origin, "%s: %s", loader->path, info->key);
    bool loaded = setting_text(loader, info, origin, value, &text);
    buffer_append_char(&text, '\0');
    if (loaded && text.failed) loaded = out_of_memory(loader);
    if (loaded) {
        const char *final = buffer_slice(&text).data;
        if (info->kind == KIND_PATH && *final) final = resolved = resolve(loader, final);
        loaded = final ? config_set(loader->config, setting, final, origin, loader->problem, loader->problem_size)
                       : out_of_memory(loader);
    }
    free(resolved);
    buffer_free(&text);
    return loaded;
}

/* --- apps --------------------------------------------------------------------------------------------------------------- */

static bool app_problem(const Loader *loader, const char *name, const char *what)
{
    return config_fail(loader->problem, loader->problem_size, "%s: apps.%s.%s", loader->path, name, what);
}

static bool size_value(Slice value, size_t *bytes)
{
    char text[32];
    int64_t number;

    if (json_type(value) == JSON_NUMBER && json_get_int(value, &number) && number > 0) {
        *bytes = (size_t)number;
        return true;
    }
    return json_copy_string(value, text, sizeof text) && config_parse_size(text, bytes) && *bytes > 0;
}

#define LEAST_OVERFLOW_BYTES (1u << 20)

static bool load_overflow(const Loader *loader, ConfigApp *app, Slice value)
{
    char text[32];
    bool is_text = json_copy_string(value, text, sizeof text);

    app->backpressure = is_text && strcmp(text, "backpressure") == 0;
    return app->backpressure || (is_text && strcmp(text, "spill") == 0) ||
           app_problem(loader, app->name,
                       "overflow: it must be \"spill\" (events that the app cannot take yet wait on the disk) or "
                       "\"backpressure\" (reading from the gateway waits)");
}

static bool load_overflow_limit(const Loader *loader, ConfigApp *app, Slice value)
{
    return (size_value(value, &app->overflow_bytes) && app->overflow_bytes >= LEAST_OVERFLOW_BYTES) ||
           app_problem(loader, app->name,
                       "overflow_limit: it must be a text like \"1GiB\", or a number of bytes; 1MiB at least");
}

/* Names of events, or prefixes as gw.on has them. */
static bool load_drops(const Loader *loader, const ConfigApp *app, const char *key, Slice value, const char **names)
{
    char origin[PATH_MAX + 128];
    Buffer text = {0};

    (void)snprintf(origin, sizeof origin, "%s: apps.%s.%s", loader->path, app->name, key);
    bool loaded = list_text(loader, origin, "{ \"tick\", \"presence.*\" }", value, &text);
    buffer_append_char(&text, '\0');
    if (loaded) {
        *names = text.failed ? NULL : strdup(buffer_slice(&text).data);
        loaded = *names || out_of_memory(loader);
    }
    buffer_free(&text);
    return loaded;
}

static bool load_memory(const Loader *loader, ConfigApp *app, Slice value)
{
    return size_value(value, &app->memory_bytes) ||
           app_problem(loader, app->name, "memory: it must be a number of bytes or a text like \"64MiB\"");
}

#define LONGEST_CPU_S 86400

/* Seconds, or false for no bound. */
static bool load_cpu(const Loader *loader, ConfigApp *app, Slice value)
{
    double seconds = 0;

    if (json_type(value) == JSON_FALSE) {
        app->cpu_ms = -1;
        return true;
    }
    if (json_type(value) == JSON_NUMBER && json_get_double(value, &seconds) && seconds >= 0.001 &&
        seconds <= LONGEST_CPU_S) {
        app->cpu_ms = (int64_t)(seconds * 1000);
        return true;
    }
    return app_problem(loader, app->name, "cpu: it must be a number of seconds above 0, or false for no bound");
}

#define LONGEST_GRACE_S 86400

/* Seconds; none at all is the least that there is. */
static bool load_grace(const Loader *loader, ConfigApp *app, Slice value)
{
    double seconds = -1;

    if (json_type(value) != JSON_NUMBER || !json_get_double(value, &seconds) || seconds < 0 ||
        seconds > LONGEST_GRACE_S)
        return app_problem(loader, app->name, "grace: it must be a number of seconds, a day at most");
    app->grace_ms = (int64_t)(seconds * 1000);
    if (app->grace_ms == 0) app->grace_ms = 1;
    return true;
}

static bool load_sandbox(const Loader *loader, ConfigApp *app, Slice value)
{
    JsonType type = json_type(value);

    app->sandbox = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE ||
           app_problem(loader, app->name, "sandbox: it must be true or false");
}

#define MOST_FAILURES 1000000

/* A whole number from `least` on. */
static bool load_count(Slice value, int64_t least, int *count)
{
    int64_t number;

    if (json_type(value) != JSON_NUMBER || !json_get_int(value, &number) || number < least || number > MOST_FAILURES)
        return false;
    *count = (int)number;
    return true;
}

/* How many failures in a row, or false for never. */
static bool load_quarantine(const Loader *loader, ConfigApp *app, Slice value)
{
    if (json_type(value) == JSON_FALSE) {
        app->quarantine_failures = -1;
        return true;
    }
    return load_count(value, 1, &app->quarantine_failures) ||
           app_problem(loader, app->name, "quarantine: it must be a number of failures from 1 on, or false for never");
}

static bool load_rollback(const Loader *loader, ConfigApp *app, Slice value)
{
    JsonCursor cursor = json_cursor(value);
    Slice key, number;
    bool known = json_type(value) == JSON_OBJECT || json_type(value) == JSON_FALSE;

    if (json_type(value) == JSON_FALSE) app->rollback_failures = -1;
    while (known && json_type(value) == JSON_OBJECT && json_next_member(&cursor, &key, &number)) {
        if (slice_is(key, "failures")) {
            known = load_count(number, 0, &app->rollback_failures);
            if (app->rollback_failures == 0) app->rollback_failures = -1;
        } else {
            known = slice_is(key, "calls") && load_count(number, 1, &app->rollback_calls);
        }
    }
    return known || app_problem(loader, app->name,
                                "rollback: it must be a table as { failures = 5, calls = 20 }, or false for never");
}

static bool load_dead_letters(const Loader *loader, ConfigApp *app, Slice value)
{
    JsonType type = json_type(value);

    app->dead_letters = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE ||
           app_problem(loader, app->name, "dead_letters: it must be true or false");
}

static bool load_app_member(const Loader *loader, ConfigApp *app, Slice key, Slice value)
{
    char path[PATH_MAX], place[128];

    if (slice_is(key, "memory")) return load_memory(loader, app, value);
    if (slice_is(key, "cpu")) return load_cpu(loader, app, value);
    if (slice_is(key, "grace")) return load_grace(loader, app, value);
    if (slice_is(key, "sandbox")) return load_sandbox(loader, app, value);
    if (slice_is(key, "quarantine")) return load_quarantine(loader, app, value);
    if (slice_is(key, "rollback")) return load_rollback(loader, app, value);
    if (slice_is(key, "dead_letters")) return load_dead_letters(loader, app, value);
    if (slice_is(key, "path")) {
        if (!json_copy_string(value, path, sizeof path) || !*path)
            return app_problem(loader, app->name, "path: it must be a text");
        app->path = resolve(loader, path);
        return app->path || out_of_memory(loader);
    }
    if (slice_is(key, "config")) {
        if (json_type(value) != JSON_OBJECT)
            return app_problem(loader, app->name, "config: it must be a table with names as keys");
        app->settings = strndup(value.data, value.size);
        return app->settings || out_of_memory(loader);
    }
    if (slice_is(key, "overflow")) return load_overflow(loader, app, value);
    if (slice_is(key, "overflow_limit")) return load_overflow_limit(loader, app, value);
    if (slice_is(key, "drop_oldest")) return load_drops(loader, app, "drop_oldest", value, &app->drop_oldest);
    if (slice_is(key, "drop_newest")) return load_drops(loader, app, "drop_newest", value, &app->drop_newest);
    char *word = strndup(key.data, key.size);
    if (!word) return out_of_memory(loader);
    Suggestion suggestion = suggest_for(word);
    for (size_t i = 0; i < sizeof app_keys / sizeof *app_keys; i++) {
        suggest_consider(&suggestion, app_keys[i]);
    }
    (void)snprintf(place, sizeof place, "apps.%s: ", app->name);
    (void)unknown_key(loader, place, key, &suggestion);
    free(word);
    return false;
}

bool config_is_app_name(Slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '_' && c != '-' && (c != '.' || i == 0)) return false;
    }
    return name.size > 0 && name.size <= 64;
}

static bool load_app(const Loader *loader, Slice name, Slice section)
{
    Config *config = loader->config;
    JsonCursor cursor = json_cursor(section);
    Slice key, value;

    if (!config_is_app_name(name)) {
        return config_fail(loader->problem, loader->problem_size,
                           "%s: apps: \"%.*s\" is no name for an app: letters, digits, '_', '-' and '.', 64 at most",
                           loader->path, SLICE_ARGS(name));
    }
    ConfigApp *apps = realloc(config->apps, (config->app_count + 1) * sizeof *apps);
    if (!apps) return out_of_memory(loader);
    config->apps = apps;
    ConfigApp *app = &apps[config->app_count];
    *app = (ConfigApp){.name = strndup(name.data, name.size)};
    if (!app->name) return out_of_memory(loader);
    config->app_count++;
    if (json_type(section) != JSON_OBJECT) {
        return config_fail(loader->problem, loader->problem_size,
                           "%s: apps.%s: it must be a table, as in { path = \"%s.lua\" }", loader->path, app->name,
                           app->name);
    }
    while (json_next_member(&cursor, &key, &value)) {
        if (!load_app_member(loader, app, key, value)) return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ConfigApp *)a)->name, ((const ConfigApp *)b)->name);
}

static bool load_apps(const Loader *loader, Slice value)
{
    JsonCursor cursor = json_cursor(value);
    Slice name, section;

    if (json_type(value) != JSON_OBJECT) {
        return config_fail(loader->problem, loader->problem_size,
                           "%s: apps: it must be a table, as in { watcher = { path = \"watcher.lua\" } }",
                           loader->path);
    }
    while (json_next_member(&cursor, &name, &section)) {
        if (!load_app(loader, name, section)) return false;
    }
    /* A Lua table has no order; the apps' start should have one. */
    if (loader->config->app_count > 1)
        qsort(loader->config->apps, loader->config->app_count, sizeof(ConfigApp), by_name);
    return true;
}

/* --- the file ------------------------------------------------------------------------------------------------------------ */

static bool load_member(const Loader *loader, Slice key, Slice value)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        if (slice_is(key, setting_infos[i].key)) return load_setting(loader, (Setting)i, value);
    }
    if (slice_is(key, "apps")) return load_apps(loader, value);
    if (slice_is(key, "token") || slice_is(key, "password")) {
        return config_fail(loader->problem, loader->problem_size,
                           "%s: a secret does not belong in this file: put it into one of its own and name it with "
                           "token_file, or set OPENCLAW_GATEWAY_%s",
                           loader->path, slice_is(key, "token") ? "TOKEN" : "PASSWORD");
    }
    char *word = strndup(key.data, key.size);
    if (!word) return out_of_memory(loader);
    Suggestion suggestion = suggest_for(word);
    for (int i = 0; i < SETTING_COUNT; i++) {
        suggest_consider(&suggestion, setting_infos[i].key);
    }
    suggest_consider(&suggestion, "apps");
    (void)unknown_key(loader, "", key, &suggestion);
    free(word);
    return false;
}

/* Settings decide where the token goes: what everybody can write is not obeyed. */
static bool is_safe(const Loader *loader)
{
    struct stat status;

    if (stat(loader->path, &status) != 0) {
        return config_fail(loader->problem, loader->problem_size, "%s: cannot be read: %s", loader->path,
                           strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return config_fail(loader->problem, loader->problem_size, "%s: it is no file", loader->path);
    }
    if (status.st_mode & S_IWOTH) {
        return config_fail(loader->problem, loader->problem_size,
                           "%s: everybody can write it, so it is not used; run: chmod o-w %s", loader->path,
                           loader->path);
    }
    return true;
}

bool config_load_file(Config *config, const char *path, char *problem, size_t problem_size)
{
    const char *slash = strrchr(path, '/');
    Loader loader = {config, path, slash ? (int)(slash - path) + 1 : 0, problem, problem_size};
    Buffer json = {0};
    bool loaded = is_safe(&loader) && config_file_read(path, &json, problem, problem_size);

    if (loaded) {
        JsonCursor cursor = json_cursor(buffer_slice(&json));
        Slice key, value;
        while (loaded && json_next_member(&cursor, &key, &value)) {
            loaded = load_member(&loader, key, value);
        }
    }
    buffer_free(&json);
    return loaded;
}
