/* config_private.h - what the files config*.c share. */
#ifndef GATEHOUSE_HOST_CONFIG_PRIVATE_H
#define GATEHOUSE_HOST_CONFIG_PRIVATE_H

#include "host/config.h"

typedef enum { KIND_TEXT, KIND_URL, KIND_PATH, KIND_LIST, KIND_FLAG, KIND_LEVEL, KIND_FORMAT } SettingKind;

typedef struct {
    const char *key;      /* in gatehouse.lua */
    const char *variable; /* in the environment */
    SettingKind kind;
    const char *preset; /* the default; NULL: not set */
} SettingInfo;

typedef struct {
    char *text;   /* NULL: not set; lists joined by commas */
    char *origin; /* NULL: the default */
    char **list;  /* KIND_LIST: ended by NULL; its texts are in `items` */
    char *items;
    unsigned arrival; /* sources come one after the other: the later of two has the larger number */
} SettingValue;

struct Config {
    SettingValue values[SETTING_COUNT];
    unsigned arrivals;
    char *environment_token, *token, *password;
    unsigned token_arrival; /* of environment_token */
    ConfigApp *apps;
    size_t app_count;
};

extern const SettingInfo setting_infos[SETTING_COUNT];

/* Writes `problem` and returns false. */
bool config_fail(char *problem, size_t problem_size, const char *format, ...) __attribute__((format(printf, 3, 4)));
void config_wipe(char *secret); /* overwrites and frees; NULL is fine */

#endif
