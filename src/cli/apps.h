/* apps.h - which apps a command line means: scripts, folders, names from gatehouse.lua. */
#ifndef GATEHOUSE_CLI_APPS_H
#define GATEHOUSE_CLI_APPS_H

#include "cli/context.h"
#include "host/host.h"

typedef struct {
    char name[65];
    char path[4096];
    const char *settings; /* gw.app.config; NULL: none. Borrowed from the Config */
    size_t memory_bytes;
    int64_t cpu_ms, grace_ms;
    bool sandbox;
    bool backpressure;
    size_t overflow_bytes;
    const char *drop_oldest, *drop_newest; /* borrowed as well */
    int quarantine_failures, rollback_failures, rollback_calls;
    bool dead_letters;
} AppChoice;

/* The arguments, or without any all apps of the configuration. An argument is a script, a folder with init.lua, the name of a
 * configured app (what the configuration has under a name applies), or a folder of such scripts and folders. The caller frees `*apps`. Returns CLI_OK,
 * or a status after having said what is wrong: no app, unless there may be none; no name for one; two of one name. */
int apps_choose(const Context *context, bool may_be_none, AppChoice **apps, size_t *count);

/* The data folder of an app, made if it is not there. False with a sentence in `problem`. */
bool apps_data_dir(const char *state_dir, const char *name, char *path, size_t path_size, char *problem,
                   size_t problem_size);

#endif
