/* config.c - the table of settings, their values, and the environment. gatehouse.lua is config_load.c, secrets config_secrets.c. */
#include "host/config.h"

#include "host/config_private.h"
#include "host/log.h"
#include "net/link.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const SettingInfo setting_infos[SETTING_COUNT] = {
    [SETTING_URL] = {"url", "OPENCLAW_GATEWAY_URL", KIND_URL, "ws://127.0.0.1:18789/"},
    [SETTING_TOKEN_FILE] = {"token_file", "GATEHOUSE_TOKEN_FILE", KIND_PATH, NULL},
    [SETTING_SCOPES] = {"scopes", "GATEHOUSE_SCOPES", KIND_LIST, "operator.read,operator.write"},
    [SETTING_CAPS] = {"caps", "GATEHOUSE_CAPS", KIND_LIST, "tool-events"},
    [SETTING_ROLE] = {"role", "GATEHOUSE_ROLE", KIND_TEXT, "operator"},
    [SETTING_CA_FILE] = {"ca_file", "GATEHOUSE_CA_FILE", KIND_PATH, NULL},
    [SETTING_TLS_FINGERPRINT] = {"tls_fingerprint", "GATEHOUSE_TLS_FINGERPRINT", KIND_TEXT, NULL},
    [SETTING_DISPLAY_NAME] = {"display_name", "GATEHOUSE_DISPLAY_NAME", KIND_TEXT, NULL},
    [SETTING_ALLOW_INSECURE] = {"allow_insecure", "GATEHOUSE_ALLOW_INSECURE", KIND_FLAG, "false"},
    [SETTING_STATE_DIR] = {"state_dir", "GATEHOUSE_STATE_DIR", KIND_PATH, NULL},
    [SETTING_LOG_LEVEL] = {"log_level", "GATEHOUSE_LOG_LEVEL", KIND_LEVEL, NULL},
    [SETTING_LOG_FORMAT] = {"log_format", "GATEHOUSE_LOG_FORMAT", KIND_FORMAT, "human"},
};

bool config_fail(char *problem, size_t problem_size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(problem, problem_size, format, arguments);
    va_end(arguments);
    return false;
}

void config_wipe(char *secret)
{
    if (secret) explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void free_value(SettingValue *value)
{
    free(value->text);
    free(value->origin);
    free(value->items);
    free(value->list);
}

/* --- kinds: each turns a text into the form that is kept, or says what it should be -------------------------------------- */

/* Scopes and caps go into the text that the device signs, whose separators they may not contain. */
static bool is_list_character(char c)
{
    return c > ' ' && c < 0x7f && c != '|' && c != '"' && c != '\\';
}

/* Commas or spaces separate. False without memory. */
static bool split_list(SettingValue *value)
{
    size_t count = 0;

    value->items = strdup(value->text);
    value->list = calloc(strlen(value->text) / 2 + 2, sizeof *value->list);
    if (!value->items || !value->list) return false;
    for (char *rest = value->items, *item; (item = strsep(&rest, ", "));) {
        if (*item) value->list[count++] = item;
    }
    return true;
}

/* Returns what the value should have been, NULL if it is well. */
static const char *check_value(SettingKind kind, const char *text)
{
    LogLevel level;
    LogFormat format;

    switch (kind) {
    case KIND_FLAG: return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ? NULL : "true or false";
    case KIND_LEVEL: return log_parse_level(text, &level) ? NULL : "debug, info, warn or error";
    case KIND_FORMAT: return log_parse_format(text, &format) ? NULL : "human or json";
    case KIND_LIST:
        for (const char *c = text; *c; c++) {
            if (!is_list_character(*c) && *c != ' ') return "a list of names, separated by commas";
        }
        return NULL;
    case KIND_URL: /* its own message, in config_set */
    case KIND_TEXT:
    case KIND_PATH: break;
    }
    if (!*text) return "a text that is not empty";
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) return "a text without control characters";
    }
    return NULL;
}

/* What people write for yes and no in an environment variable. */
static const char *canonical(SettingKind kind, const char *text)
{
    static const char *const yes[] = {"1", "yes", "on"}, *const no[] = {"0", "no", "off"};

    for (size_t i = 0; kind == KIND_FLAG && i < 3; i++) {
        if (strcmp(text, yes[i]) == 0) return "true";
        if (strcmp(text, no[i]) == 0) return "false";
    }
    return text;
}

bool config_set(Config *config, Setting setting, const char *value, const char *origin, char *problem,
                size_t problem_size)
{
    const SettingInfo *info = &setting_infos[setting];
    const char *text = canonical(info->kind, value), *expected = check_value(info->kind, text);
    char cause[256];

    if (expected) {
        return config_fail(problem, problem_size, "%s: it must be %s, not \"%.64s\"", origin ? origin : info->key,
                           expected, value);
    }
    if (info->kind == KIND_URL && !link_target_parse(text, &(LinkTarget){0}, cause, sizeof cause)) {
        return config_fail(problem, problem_size, "%s: %s", origin ? origin : info->key, cause);
    }
    SettingValue fresh = {
        .text = strdup(text), .origin = origin ? strdup(origin) : NULL, .arrival = ++config->arrivals};
    if (!fresh.text || (origin && !fresh.origin) || (info->kind == KIND_LIST && !split_list(&fresh))) {
        free_value(&fresh);
        return config_fail(problem, problem_size, "there is not enough memory");
    }
    free_value(&config->values[setting]);
    config->values[setting] = fresh;
    return true;
}

Config *config_new(void)
{
    char problem[128];
    Config *config = calloc(1, sizeof *config);

    for (int i = 0; config && i < SETTING_COUNT; i++) {
        const char *preset = setting_infos[i].preset;
        if (preset && !config_set(config, (Setting)i, preset, NULL, problem, sizeof problem)) {
            config_free(config);
            return NULL;
        }
    }
    return config;
}

void config_free(Config *config)
{
    if (!config) return;
    for (int i = 0; i < SETTING_COUNT; i++) {
        free_value(&config->values[i]);
    }
    for (size_t i = 0; i < config->app_count; i++) {
        free((void *)config->apps[i].name);
        free((void *)config->apps[i].path);
        free((void *)config->apps[i].settings);
        free((void *)config->apps[i].drop_oldest);
        free((void *)config->apps[i].drop_newest);
    }
    free(config->apps);
    config_wipe(config->environment_token);
    config_wipe(config->token);
    config_wipe(config->password);
    free(config);
}

/* --- the environment ------------------------------------------------------------------------------------------------------ */

/* An empty variable is one that is not set. */
static const char *look_up(char *const *environment, const char *name)
{
    size_t size = strlen(name);

    for (; *environment; environment++) {
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=' && (*environment)[size + 1]) {
            return *environment + size + 1;
        }
    }
    return NULL;
}

static bool take_secret(char **place, const char *value)
{
    char *copy = strdup(value);
    if (!copy) return false;
    config_wipe(*place);
    *place = copy;
    return true;
}

bool config_load_environment(Config *config, char *const *environment, char *problem, size_t problem_size)
{
    const char *token = look_up(environment, "OPENCLAW_GATEWAY_TOKEN");
    const char *password = look_up(environment, "OPENCLAW_GATEWAY_PASSWORD");

    if ((token && !take_secret(&config->environment_token, token)) ||
        (password && !take_secret(&config->password, password))) {
        return config_fail(problem, problem_size, "there is not enough memory");
    }
    if (token) config->token_arrival = ++config->arrivals;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const SettingInfo *info = &setting_infos[i];
        const char *value = look_up(environment, info->variable);
        if (value && !config_set(config, (Setting)i, value, info->variable, problem, problem_size)) return false;
    }
    return true;
}

/* --- to look at ------------------------------------------------------------------------------------------------------------ */

const char *config_text(const Config *config, Setting setting)
{
    return config->values[setting].text;
}

bool config_flag(const Config *config, Setting setting)
{
    const char *text = config->values[setting].text;
    return text && strcmp(text, "true") == 0;
}

const char *const *config_list(const Config *config, Setting setting)
{
    static const char *const nothing[] = {NULL};
    const SettingValue *value = &config->values[setting];

    return value->list ? (const char *const *)value->list : nothing;
}

const char *config_origin(const Config *config, Setting setting)
{
    const char *origin = config->values[setting].origin;
    return origin ? origin : "default";
}

const char *config_token(const Config *config)
{
    return config->token;
}

const char *config_password(const Config *config)
{
    return config->password;
}

size_t config_app_count(const Config *config)
{
    return config->app_count;
}

const ConfigApp *config_app(const Config *config, size_t index)
{
    return &config->apps[index];
}

const ConfigApp *config_find_app(const Config *config, const char *name)
{
    for (size_t i = 0; i < config->app_count; i++) {
        if (strcmp(config->apps[i].name, name) == 0) return &config->apps[i];
    }
    return NULL;
}

bool config_parse_size(const char *text, size_t *bytes)
{
    static const struct {
        const char *name;
        unsigned long long factor;
    } units[] = {{"", 1},           {"B", 1},     {"KiB", 1u << 10}, {"MiB", 1u << 20},
                 {"GiB", 1u << 30}, {"kB", 1000}, {"MB", 1000000},   {"GB", 1000000000}};
    unsigned long long number = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (number > (SIZE_MAX - digit) / 10) return false;
        number = number * 10 + digit;
    }
    if (at == text) return false;
    while (*at == ' ') {
        at++;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(at, units[i].name) != 0) continue;
        if (number > SIZE_MAX / units[i].factor) return false;
        *bytes = (size_t)(number * units[i].factor);
        return true;
    }
    return false;
}
