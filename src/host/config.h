/* config.h - the settings, from all their sources. Later wins: default, gatehouse.lua, environment, option.
 *
 * Every setting is a text, whatever it comes from, and remembers where it came from, for messages: "GATEHOUSE_LOG_LEVEL: …".
 * Secrets come from the environment or from a file that only its owner can read, never from an option's value. */
#ifndef GATEHOUSE_HOST_CONFIG_H
#define GATEHOUSE_HOST_CONFIG_H

#include "protocol/slice.h"

#include <stdint.h>

typedef struct Config Config;

typedef enum {
    SETTING_URL,
    SETTING_TOKEN_FILE,
    SETTING_SCOPES, /* list */
    SETTING_CAPS,   /* list */
    SETTING_ROLE,
    SETTING_CA_FILE,
    SETTING_TLS_FINGERPRINT,
    SETTING_DISPLAY_NAME,
    SETTING_ALLOW_INSECURE, /* flag */
    SETTING_STATE_DIR,
    SETTING_LOG_LEVEL,
    SETTING_LOG_FORMAT,
    SETTING_COUNT
} Setting;

/* An app's section of gatehouse.lua. Borrowed from the Config. */
typedef struct {
    const char *name;
    const char *path;     /* resolved against the file's folder; NULL if it names none */
    const char *settings; /* what gw.app.config holds: raw JSON object */
    size_t memory_bytes;  /* 0: not set */
    int64_t cpu_ms;       /* 0: not set; below 0: no bound */
    int64_t grace_ms;     /* 0: not set */
    bool sandbox;
    bool backpressure;                     /* overflow = "backpressure" */
    size_t overflow_bytes;                 /* 0: not set */
    const char *drop_oldest, *drop_newest; /* joined by commas; NULL: not set */
    int quarantine_failures;               /* 0: not set; below 0: never */
    int rollback_failures, rollback_calls; /* 0: not set; below 0: never */
    bool dead_letters;
} ConfigApp;

/* With the defaults in it. NULL without memory. */
Config *config_new(void);
void config_free(Config *config); /* wipes the secrets; NULL is fine */

/* All return false with one line in `problem` that names the source. */
bool config_load_file(Config *config, const char *path, char *problem, size_t problem_size);
bool config_load_environment(Config *config, char *const *environment, char *problem, size_t problem_size);
/* `origin` is what messages call it: "--url". */
bool config_set(Config *config, Setting setting, const char *value, const char *origin, char *problem,
                size_t problem_size);

/* After all of them: reads the token file. To be called again when its content may have changed; keeps the old token if it fails. */
bool config_read_secrets(Config *config, char *problem, size_t problem_size);

const char *config_text(const Config *config, Setting setting); /* NULL if it is not set */
bool config_flag(const Config *config, Setting setting);
const char *const *config_list(const Config *config,
                               Setting setting);                  /* ended by NULL; borrowed until it is set again */
const char *config_origin(const Config *config, Setting setting); /* "default", "gatehouse.lua: url", "--url", … */

const char *config_token(const Config *config);    /* NULL if there is none */
const char *config_password(const Config *config); /* NULL if there is none */

size_t config_app_count(const Config *config);
const ConfigApp *config_app(const Config *config, size_t index);
const ConfigApp *config_find_app(const Config *config, const char *name); /* NULL if there is none */

/* Letters, digits, '_', '-' and '.', not '.' first, 64 at most: names of folders and columns of the log. */
bool config_is_app_name(Slice name);

/* "268435456", "64MiB", "1GiB", "512KiB" (also kB, MB, GB). False for what is no such size or does not fit. */
bool config_parse_size(const char *text, size_t *bytes);

#endif
