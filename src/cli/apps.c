/* apps.c - see apps.h. */
#include "cli/apps.h"

#include "host/state_dir.h"

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
    app->settings = configured ? configured->settings : NULL;
    app->memory_bytes = configured ? configured->memory_bytes : 0;
    return CLI_OK;
}

static int choose_configured(const Context *context, const ConfigApp *configured, AppChoice *app)
{
    if (!configured->path) {
        return command_fail(context->command, CLI_USAGE,
                            "the app %s of gatehouse.lua has no path: add path = \"%s.lua\", or name its script here",
                            configured->name, configured->name);
    }
    *app = (AppChoice){.settings = configured->settings, .memory_bytes = configured->memory_bytes};
    (void)snprintf(app->name, sizeof app->name, "%s", configured->name);
    (void)snprintf(app->path, sizeof app->path, "%s", configured->path);
    return CLI_OK;
}

int apps_choose(const Context *context, AppChoice **apps, size_t *count)
{
    bool named = context->parsed->count > 0;
    size_t wanted = named ? (size_t)context->parsed->count : config_app_count(context->config);
    int status = CLI_OK;

    *count = 0;
    *apps = NULL;
    if (wanted == 0) return command_misused(context->command, "name an app: a script, or a folder with init.lua");
    AppChoice *chosen = calloc(wanted, sizeof *chosen);
    if (!chosen) return command_fail(context->command, CLI_FAILED, "there is not enough memory");
    for (size_t i = 0; i < wanted && status == CLI_OK; i++) {
        status = named ? choose(context, context->parsed->arguments[i], &chosen[i])
                       : choose_configured(context, config_app(context->config, i), &chosen[i]);
        for (size_t j = 0; j < i && status == CLI_OK; j++) {
            if (strcmp(chosen[i].name, chosen[j].name) != 0) continue;
            status = command_fail(context->command, CLI_USAGE, "two apps are named %s: %s and %s", chosen[i].name,
                                  chosen[j].path, chosen[i].path);
        }
    }
    *apps = chosen;
    *count = wanted;
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
