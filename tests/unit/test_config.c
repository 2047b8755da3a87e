/* test_config.c - settings from their sources, and which of them wins. The files' messages are tested through the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    Config *config;
    char folder[64], file[128], token_file[128];
    char problem[512];
} World;

static int set_up(void **state)
{
    static World world;

    world = (World){.folder = "/tmp/test_config.XXXXXX"};
    assert_non_null(mkdtemp(world.folder));
    (void)snprintf(world.file, sizeof world.file, "%s/gatehouse.lua", world.folder);
    (void)snprintf(world.token_file, sizeof world.token_file, "%s/token", world.folder);
    world.config = config_new();
    assert_non_null(world.config);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    config_free(world->config);
    (void)unlink(world->file);
    (void)unlink(world->token_file);
    return rmdir(world->folder);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static bool load(World *world, const char *text)
{
    write_file(world->file, text);
    return config_load_file(world->config, world->file, world->problem, sizeof world->problem);
}

static bool set(World *world, Setting setting, const char *value)
{
    return config_set(world->config, setting, value, "--option", world->problem, sizeof world->problem);
}

static bool environment(World *world, const char *variable)
{
    char text[256];
    char *const variables[] = {text, NULL};

    (void)snprintf(text, sizeof text, "%s", variable);
    return config_load_environment(world->config, variables, world->problem, sizeof world->problem);
}

static void defaults(void **state)
{
    const World *world = *state;
    const Config *config = world->config;

    assert_string_equal(config_text(config, SETTING_URL), "ws://127.0.0.1:18789/");
    assert_string_equal(config_origin(config, SETTING_URL), "default");
    assert_string_equal(config_list(config, SETTING_SCOPES)[0], "operator.read");
    assert_string_equal(config_list(config, SETTING_SCOPES)[1], "operator.write");
    assert_null(config_list(config, SETTING_SCOPES)[2]);
    assert_string_equal(config_list(config, SETTING_CAPS)[0], "tool-events");
    assert_false(config_flag(config, SETTING_ALLOW_INSECURE));
    assert_null(config_text(config, SETTING_TOKEN_FILE));
    assert_null(config_token(config));
    assert_int_equal(config_app_count(config), 0);
}

static void later_wins_and_is_remembered(void **state)
{
    World *world = *state;
    char origin[160];

    assert_true(load(world, "return { url = 'ws://file/', role = 'node' }"));
    (void)snprintf(origin, sizeof origin, "%s: url", world->file);
    assert_string_equal(config_text(world->config, SETTING_URL), "ws://file/");
    assert_string_equal(config_origin(world->config, SETTING_URL), origin);
    assert_true(environment(world, "OPENCLAW_GATEWAY_URL=ws://environment/"));
    assert_string_equal(config_origin(world->config, SETTING_URL), "OPENCLAW_GATEWAY_URL");
    assert_true(environment(world, "OPENCLAW_GATEWAY_URL=")); /* empty: not set */
    assert_string_equal(config_text(world->config, SETTING_URL), "ws://environment/");
    assert_true(set(world, SETTING_URL, "wss://option/"));
    assert_string_equal(config_text(world->config, SETTING_URL), "wss://option/");
    assert_string_equal(config_text(world->config, SETTING_ROLE), "node");
}

static void a_wrong_value_changes_nothing_and_names_its_source(void **state)
{
    World *world = *state;

    assert_false(set(world, SETTING_URL, "nowhere"));
    assert_non_null(strstr(world->problem, "--option: "));
    assert_false(environment(world, "GATEHOUSE_LOG_LEVEL=loud"));
    assert_string_equal(world->problem, "GATEHOUSE_LOG_LEVEL: it must be debug, info, warn or error, not \"loud\"");
    assert_string_equal(config_text(world->config, SETTING_URL), "ws://127.0.0.1:18789/");
    assert_null(config_text(world->config, SETTING_LOG_LEVEL));
}

static void lists(void **state)
{
    World *world = *state;

    assert_true(set(world, SETTING_SCOPES, " a.b,  c ,,d"));
    assert_string_equal(config_list(world->config, SETTING_SCOPES)[0], "a.b");
    assert_string_equal(config_list(world->config, SETTING_SCOPES)[1], "c");
    assert_string_equal(config_list(world->config, SETTING_SCOPES)[2], "d");
    assert_null(config_list(world->config, SETTING_SCOPES)[3]);
    assert_true(load(world, "return { scopes = { 'x' }, caps = {} }"));
    assert_string_equal(config_list(world->config, SETTING_SCOPES)[0], "x");
    assert_null(config_list(world->config, SETTING_SCOPES)[1]);
    assert_null(config_list(world->config, SETTING_CAPS)[0]);
    /* The signature's separators. */
    assert_false(set(world, SETTING_SCOPES, "a|b"));
    assert_false(set(world, SETTING_SCOPES, "a\nb"));
    assert_false(load(world, "return { scopes = { 'a,b' } }"));
}

static void flags(void **state)
{
    World *world = *state;
    static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no", "off"};

    for (size_t i = 0; i < 4; i++) {
        assert_true(set(world, SETTING_ALLOW_INSECURE, yes[i]));
        assert_true(config_flag(world->config, SETTING_ALLOW_INSECURE));
        assert_true(set(world, SETTING_ALLOW_INSECURE, no[i]));
        assert_false(config_flag(world->config, SETTING_ALLOW_INSECURE));
    }
    assert_false(set(world, SETTING_ALLOW_INSECURE, "maybe"));
}

static void apps(void **state)
{
    World *world = *state;
    char path[160];

    assert_true(load(
        world,
        "local mib = 1024 * 1024\n"
        "return { apps = { second = { path = '/abs/x.lua', memory = 3 * mib, cpu = 0.25, grace = 2.5, sandbox = true, "
        "overflow = 'backpressure',\n"
        "  drop_oldest = { 'tick', 'presence.*' }, drop_newest = {} }, first = { path = 'a/b.lua',\n"
        "  config = { n = 9007199254740993, list = { 1, 2.0 }, none = {}, t = \"q\\\"\\n\" }, memory = '64MiB',\n"
        "  overflow = 'spill', overflow_limit = '5MiB' } } }"));
    assert_int_equal(config_app_count(world->config), 2);
    const ConfigApp *first = config_app(world->config, 0);
    assert_string_equal(first->name, "first");
    (void)snprintf(path, sizeof path, "%s/a/b.lua", world->folder);
    assert_string_equal(first->path, path);
    assert_int_equal(first->memory_bytes, 64u << 20);
    assert_int_equal(first->cpu_ms, 0);
    assert_int_equal(first->grace_ms, 0);
    assert_false(first->sandbox);
    assert_non_null(strstr(first->settings, "\"n\":9007199254740993"));
    assert_non_null(strstr(first->settings, "\"list\":[1,2.0]"));
    assert_non_null(strstr(first->settings, "\"none\":{}"));
    assert_non_null(strstr(first->settings, "\"t\":\"q\\\"\\n\""));
    const ConfigApp *second = config_find_app(world->config, "second");
    assert_string_equal(second->path, "/abs/x.lua");
    assert_int_equal(second->memory_bytes, 3u << 20);
    assert_int_equal(second->cpu_ms, 250);
    assert_int_equal(second->grace_ms, 2500);
    assert_true(second->sandbox);
    assert_null(second->settings);
    assert_true(second->backpressure);
    assert_int_equal(second->overflow_bytes, 0);
    assert_string_equal(second->drop_oldest, "tick,presence.*");
    assert_string_equal(second->drop_newest, "");
    assert_false(first->backpressure);
    assert_int_equal(first->overflow_bytes, 5u << 20);
    assert_null(first->drop_oldest);
    assert_null(config_find_app(world->config, "third"));
}

static void what_an_app_may_fail(void **state)
{
    static const char *const wrong[] = {"quarantine = 0",
                                        "quarantine = 1.5",
                                        "quarantine = true",
                                        "rollback = 3",
                                        "rollback = { failures = -1 }",
                                        "rollback = { calls = 0 }",
                                        "rollback = { n = 1 }",
                                        "dead_letters = 'yes'"};
    World *world = *state;
    char text[128];

    assert_true(
        load(world,
             "return { apps = { a = { quarantine = 3, rollback = { failures = 2, calls = 7 }, dead_letters = true },\n"
             "  b = { quarantine = false, rollback = false }, c = { rollback = { failures = 0 } }, d = {} } }"));
    const ConfigApp *a = config_app(world->config, 0), *b = a + 1, *c = a + 2, *d = a + 3;
    assert_int_equal(a->quarantine_failures, 3);
    assert_int_equal(a->rollback_failures, 2);
    assert_int_equal(a->rollback_calls, 7);
    assert_true(a->dead_letters);
    assert_int_equal(b->quarantine_failures, -1);
    assert_int_equal(b->rollback_failures, -1);
    assert_false(b->dead_letters);
    assert_int_equal(c->rollback_failures, -1);
    assert_int_equal(d->quarantine_failures, 0);
    assert_int_equal(d->rollback_failures, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        (void)snprintf(text, sizeof text, "return { apps = { e%zu = { %s } } }", i, wrong[i]);
        assert_false(load(world, text));
        assert_non_null(strstr(world->problem, ": it must be "));
    }
}

static void token_file_against_environment(void **state)
{
    World *world = *state;
    char settings[256];

    write_file(world->token_file, "from-file\n");
    (void)snprintf(settings, sizeof settings, "return { token_file = 'token' }");
    assert_true(load(world, settings));
    assert_true(config_read_secrets(world->config, world->problem, sizeof world->problem));
    assert_string_equal(config_token(world->config), "from-file");
    assert_true(environment(world, "OPENCLAW_GATEWAY_TOKEN=from-environment"));
    assert_true(config_read_secrets(world->config, world->problem, sizeof world->problem));
    assert_string_equal(config_token(world->config), "from-environment");
    assert_true(set(world, SETTING_TOKEN_FILE, world->token_file));
    assert_true(config_read_secrets(world->config, world->problem, sizeof world->problem));
    assert_string_equal(config_token(world->config), "from-file");
}

static void token_that_cannot_be_read_again_stays(void **state)
{
    World *world = *state;

    write_file(world->token_file, "one\r\n");
    assert_true(set(world, SETTING_TOKEN_FILE, world->token_file));
    assert_true(config_read_secrets(world->config, world->problem, sizeof world->problem));
    assert_int_equal(chmod(world->token_file, 0640), 0);
    assert_false(config_read_secrets(world->config, world->problem, sizeof world->problem));
    assert_non_null(strstr(world->problem, "chmod 600"));
    assert_null(strstr(world->problem, "one"));
    assert_string_equal(config_token(world->config), "one");
    write_file(world->token_file, "two");
    assert_true(config_read_secrets(world->config, world->problem, sizeof world->problem));
    assert_string_equal(config_token(world->config), "two");
}

static void password_alone_does_not_outrank_a_token_file(void **state)
{
    World *world = *state;

    write_file(world->token_file, "one");
    assert_true(load(world, "return { token_file = 'token' }"));
    assert_true(environment(world, "OPENCLAW_GATEWAY_PASSWORD=p"));
    assert_true(config_read_secrets(world->config, world->problem, sizeof world->problem));
    assert_string_equal(config_token(world->config), "one");
    assert_string_equal(config_password(world->config), "p");
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        size_t bytes;
    } good[] = {
        {"0", 0}, {"268435456", 268435456}, {"64MiB", 64u << 20}, {"1 GiB", 1u << 30}, {"3kB", 3000}, {"2MB", 2000000},
        {"7B", 7}};
    static const char *const bad[] = {
        "", "MiB", "-1", "1.5MiB", "64mib", "99999999999999999999", "18446744073709551615KiB", "1 M iB", "0x10"};
    size_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(config_parse_size(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(config_parse_size(bad[i], &bytes));
    }
}

static void names_of_apps(void **state)
{
    (void)state;
    assert_true(config_is_app_name(slice_of("watch_failures-2.x")));
    assert_false(config_is_app_name(slice_of("")));
    assert_false(config_is_app_name(slice_of("..")));
    assert_false(config_is_app_name(slice_of(".hidden")));
    assert_false(config_is_app_name(slice_of("a/b")));
    assert_false(config_is_app_name(slice_of("a b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_wins_and_is_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_value_changes_nothing_and_names_its_source, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(apps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_app_may_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(token_file_against_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(token_that_cannot_be_read_again_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(password_alone_does_not_outrank_a_token_file, set_up, tear_down),
        cmocka_unit_test(sizes),
        cmocka_unit_test(names_of_apps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
