/* check.c - `gatehouse check`: loads apps without connecting, and prints what they listen to. */
#include "cli/apps.h"
#include "cli/command.h"
#include "cli/context.h"
#include "protocol/json.h"

#include "api/api.h"

#include <stdlib.h>

typedef struct {
    Context context;
    Host *host;
    bool json;
} Check;

/* --- patterns, sorted -------------------------------------------------------------------------------------------------------- */

typedef struct {
    char **names;
    size_t count;
} Names;

static void add_name(void *context, Slice pattern)
{
    Names *names = context;
    char **larger = realloc(names->names, (names->count + 1) * sizeof *larger);

    if (!larger) return;
    names->names = larger;
    larger[names->count] = strndup(pattern.data, pattern.size);
    if (larger[names->count]) names->count++;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static Names sorted_patterns(const Check *check, const App *app)
{
    Names names = {0};

    if (app) host_patterns(check->host, app, add_name, &names);
    if (names.count > 1) qsort(names.names, names.count, sizeof *names.names, by_text);
    return names;
}

static void free_names(Names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->names[i]);
    }
    free(names->names);
}

/* --- output ------------------------------------------------------------------------------------------------------------------ */

static void print_json(const AppChoice *choice, const Names *patterns, const char *problem)
{
    Buffer line = {0};

    buffer_append_char(&line, '{');
    json_write_member_string(&line, "name", choice->name);
    json_write_member_string(&line, "path", choice->path);
    json_write_member_bool(&line, "ok", !problem);
    if (problem) {
        json_write_member_string(&line, "problem", problem);
    } else {
        json_write_key(&line, "events");
        buffer_append_char(&line, '[');
        for (size_t i = 0; i < patterns->count; i++) {
            if (i > 0) buffer_append_char(&line, ',');
            json_write_string(&line, slice_of(patterns->names[i]));
        }
        buffer_append_char(&line, ']');
    }
    buffer_append_text(&line, "}\n");
    (void)fwrite(buffer_slice(&line).data, 1, buffer_size(&line), stdout);
    buffer_free(&line);
}

static void print_people(const Check *check, const AppChoice *choice, const Names *patterns, const char *problem)
{
    if (problem) {
        (void)command_fail(check->context.command, CLI_FAILED, "%s: %s", choice->name, problem);
        return;
    }
    printf("%s: ok: %s", choice->name, patterns->count == 0 ? "listens to no event" : "");
    for (size_t i = 0; i < patterns->count; i++) {
        printf("%s%s", i > 0 ? ", " : "", patterns->names[i]);
    }
    printf("\n");
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

static bool check_app(const Check *check, const AppChoice *choice)
{
    char problem[4096];
    AppConfig config = {.name = choice->name,
                        .path = choice->path,
                        .settings = choice->settings,
                        .memory_bytes = choice->memory_bytes,
                        .cpu_ms = choice->cpu_ms,
                        .sandbox = choice->sandbox,
                        .dry_run = true,
                        .bindings = api_bindings()};
    const App *app = host_add_app(check->host, &config, problem, sizeof problem);
    Names patterns = sorted_patterns(check, app);

    if (check->json) {
        print_json(choice, &patterns, app ? NULL : problem);
    } else {
        print_people(check, choice, &patterns, app ? NULL : problem);
    }
    free_names(&patterns);
    return app != NULL;
}

static void never(void *context, bool clean)
{
    (void)context;
    (void)clean;
}

static int check_main(const Command *command, const Parsed *parsed)
{
    Check check = {.json = parsed->values[OPTION_JSON] != NULL};
    AppChoice *apps = NULL;
    size_t count = 0;
    int status = context_open(&check.context, command, parsed, LOG_INFO);

    if (status == CLI_OK) status = apps_choose(&check.context, false, &apps, &count);
    if (status == CLI_OK) {
        check.host = host_new(check.context.loop, check.context.log, &(HostSink){.ended = never});
        if (!check.host) status = command_fail(command, CLI_FAILED, "there is not enough memory");
    }
    for (size_t i = 0; i < count && check.host; i++) {
        if (!check_app(&check, &apps[i])) status = CLI_FAILED;
    }
    if (fflush(stdout) != 0) status = command_fail(command, CLI_FAILED, "the output could not be written");
    host_free(check.host);
    free(apps);
    context_close(&check.context);
    return status;
}

static const OptionId own_options[] = {OPTION_JSON};

const Command command_check = {
    .name = "check",
    .arguments = "[APP...]",
    .summary = "Load apps without connecting",
    .details = "Runs the main chunk of each app and prints what it listens to, or where and\n"
               "why it does not load.\n",
    .options = {own_options, sizeof own_options / sizeof *own_options},
    .shared = &local_options,
    .run = check_main,
};
