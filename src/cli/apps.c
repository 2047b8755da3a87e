/* apps.c - see apps.h. */
#include "cli/apps.h"

#include "host/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* watcher.lua → watcher; a/b/ → b; a/init.lua → a; "." → the folder's own name. False if that is no name. */
static bool name_of_path(const char *path, char *name, size_t size)
{
    char absolute[PATH_MAX];
    char *base, *dot;

    /* Only a path without a name of its own is looked up: a link has the name that it was given. */
    (void)snprintf(absolute, sizeof absolute, "%s", path);
    for (size_t end = strlen(absolute); end > 1 && absolute[end - 1] == '/'; end--) {
        absolute[end - 1] = '\0';
    }
    base = strrchr(absolute, '/');
    if (strcmp(base ? base + 1 : absolute, "init.lua") == 0) {
        if (!base) (void)snprintf(absolute, sizeof absolute, ".");
        if (base) *base = '\0';
    }
    base = strrchr(absolute, '/');
    base = base ? base + 1 : absolute;
    if (strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        char *resolved = realpath(absolute, NULL);
        (void)snprintf(absolute, sizeof absolute, "%s", resolved ? resolved : "");
        free(resolved);
        base = strrchr(absolute, '/');
        base = base ? base + 1 : absolute;
    }
    dot = strrchr(base, '.');
    if (dot && dot > base && strcmp(dot, ".lua") == 0) *dot = '\0';
    (void)snprintf(name, size, "%s", base);
    return config_is_app_name(slice_of(base));
}

static bool looks_like_name(const char *argument)
{
    return !strchr(argument, '/') && config_is_app_name(slice_of(argument)) && access(argument, F_OK) != 0;
}

static void take_settings(const ConfigApp *configured, AppChoice *app)
{
    app->settings = configured->settings;
    app->memory_bytes = configured->memory_bytes;
    app->cpu_ms = configured->cpu_ms;
    app->grace_ms = configured->grace_ms;
    app->sandbox = configured->sandbox;
    app->backpressure = configured->backpressure;
    app->overflow_bytes = configured->overflow_bytes;
    app->drop_oldest = configured->drop_oldest;
    app->drop_newest = configured->drop_newest;
    app->quarantine_failures = configured->quarantine_failures;
    app->rollback_failures = configured->rollback_failures;
    app->rollback_calls = configured->rollback_calls;
    app->dead_letters = configured->dead_letters;
}

static int choose(const Context *context, const char *argument, AppChoice *app)
{
    const ConfigApp *configured = looks_like_name(argument) ? config_find_app(context->config, argument) : NULL;
    const char *path = configured && configured->path ? configured->path : argument;

    if (configured) {
        (void)snprintf(app->name, sizeof app->name, "%s", configured->name);
    } else if (!name_of_path(path, app->name, sizeof app->name)) {
        return command_misused(context->command,
                               "\"%s\" gives no name for an app (letters, digits, '_', '-' and '.'): rename it, or "
                               "name it in gatehouse.lua",
                               argument);
    }
    if (strlen(path) >= sizeof app->path)
        return command_misused(context->command, "the path of the app %s is too long", app->name);
    (void)snprintf(app->path, sizeof app->path, "%s", path);
    configured = config_find_app(context->config, app->name);
    if (configured) take_settings(configured, app);
    return CLI_OK;
}

static int choose_configured(const Context *context, const ConfigApp *configured, AppChoice *app)
{
    if (!configured->path) {
        return command_fail(context->command, CLI_USAGE,
                            "the app %s of gatehouse.lua has no path: add path = \"%s.lua\", or name its script here",
                            configured->name, configured->name);
    }
    take_settings(configured, app);
    (void)snprintf(app->name, sizeof app->name, "%s", configured->name);
    (void)snprintf(app->path, sizeof app->path, "%s", configured->path);
    return CLI_OK;
}

/* --- folders of apps ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    AppChoice *apps;
    size_t count, room;
} Chosen;

/* A place for one more; NULL without memory. */
static AppChoice *next_place(Chosen *chosen)
{
    if (chosen->count == chosen->room) {
        size_t room = chosen->room ? chosen->room * 2 : 8;
        AppChoice *apps = realloc(chosen->apps, room * sizeof *apps);
        if (!apps) return NULL;
        chosen->apps = apps;
        chosen->room = room;
    }
    AppChoice *place = &chosen->apps[chosen->count++];
    *place = (AppChoice){.settings = NULL};
    return place;
}

static bool is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool has_main_file(const char *folder)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof path, "%s/init.lua", folder) < (int)sizeof path && access(path, F_OK) == 0;
}

static bool is_app(const char *folder, const char *entry, char *path, size_t path_size)
{
    size_t size = strlen(entry);

    if (*entry == '.' || snprintf(path, path_size, "%s/%s", folder, entry) >= (int)path_size) return false;
    if (is_folder(path)) return has_main_file(path);
    return size > 4 && strcmp(entry + size - 4, ".lua") == 0;
}

/* Each script in the folder, and each folder in it with an init.lua, in the order of their names. */
static int choose_folder(const Context *context, const char *folder, Chosen *chosen)
{
    char path[PATH_MAX];
    struct dirent **entries = NULL;
    int status = CLI_OK;
    int count = scandir(folder, &entries, NULL, alphasort);

    if (count < 0)
        return command_fail(context->command, CLI_FAILED, "the folder %s cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (status == CLI_OK && is_app(folder, entries[i]->d_name, path, sizeof path)) {
            AppChoice *place = next_place(chosen);
            status = place ? choose(context, path, place)
                           : command_fail(context->command, CLI_FAILED, "there is not enough memory");
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

static int choose_argument(const Context *context, const char *argument, Chosen *chosen)
{
    if (is_folder(argument) && !has_main_file(argument)) return choose_folder(context, argument, chosen);
    AppChoice *place = next_place(chosen);
    return place ? choose(context, argument, place)
                 : command_fail(context->command, CLI_FAILED, "there is not enough memory");
}

static int choose_all_configured(const Context *context, Chosen *chosen)
{
    int status = CLI_OK;

    for (size_t i = 0; i < config_app_count(context->config) && status == CLI_OK; i++) {
        AppChoice *place = next_place(chosen);
        status = place ? choose_configured(context, config_app(context->config, i), place)
                       : command_fail(context->command, CLI_FAILED, "there is not enough memory");
    }
    return status;
}

static int refuse_twins(const Context *context, const Chosen *chosen)
{
    for (size_t i = 0; i < chosen->count; i++) {
        const AppChoice *app = &chosen->apps[i];
        for (size_t j = 0; j < i; j++) {
            const AppChoice *twin = &chosen->apps[j];
            if (strcmp(app->name, twin->name) == 0)
                return command_fail(context->command, CLI_USAGE, "two apps are named %s: %s and %s", app->name,
                                    twin->path, app->path);
        }
    }
    return CLI_OK;
}

int apps_choose(const Context *context, bool may_be_none, AppChoice **apps, size_t *count)
{
    Chosen chosen = {0};
    int named = context->parsed->count;
    int status = CLI_OK;

    *count = 0;
    *apps = NULL;
    if (named == 0 && config_app_count(context->config) == 0)
        return command_misused(context->command, "name an app: a script, or a folder with init.lua");
    if (named == 0) status = choose_all_configured(context, &chosen);
    for (int i = 0; i < named && status == CLI_OK; i++) {
        status = choose_argument(context, context->parsed->arguments[i], &chosen);
    }
    if (status == CLI_OK) status = refuse_twins(context, &chosen);
    if (status == CLI_OK && chosen.count == 0 && !may_be_none)
        status =
            command_fail(context->command, CLI_USAGE, "there is no app in %s: no script, and no folder with init.lua",
                         context->parsed->arguments[0]);
    *apps = chosen.apps;
    *count = chosen.count;
    return status;
}

bool apps_data_dir(const char *state_dir, const char *name, char *path, size_t path_size, char *problem,
                   size_t problem_size)
{
    char relative[80];

    if (!state_dir_path(state_dir, "apps", path, path_size, problem, problem_size)) return false;
    if (mkdir(path, 0700) == 0 || errno == EEXIST) {
        (void)snprintf(relative, sizeof relative, "apps/%s", name);
        if (!state_dir_path(state_dir, relative, path, path_size, problem, problem_size)) return false;
        if (mkdir(path, 0700) == 0 || errno == EEXIST) return true;
    }
    (void)snprintf(problem, problem_size, "the data folder %s cannot be made: %s", path, strerror(errno));
    return false;
}
