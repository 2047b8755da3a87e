/* test_identity_file.c - the state folder, the device's key in it, and gateways' tokens: made once, private, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/atomic_file.h"
#include "host/device_tokens.h"
#include "host/identity_file.h"
#include "host/state_dir.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_SIZE 512

typedef struct {
    char root[PATH_SIZE]; /* a temporary folder, removed after the test */
    char dir[PATH_SIZE];  /* a state folder in it */
    char message[1024];
} Place;

static void path_in(char path[PATH_SIZE], const char *folder, const char *name)
{
    int length = snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    assert_in_range(length, 1, PATH_SIZE - 1);
}

static int set_up(void **state)
{
    Place *place = calloc(1, sizeof *place);
    char wanted[PATH_SIZE];
    const char *temporary = getenv("TMPDIR");
    assert_non_null(place);
    path_in(place->root, temporary ? temporary : "/tmp", "gatehouse-test-XXXXXX");
    assert_non_null(mkdtemp(place->root));
    path_in(wanted, place->root, "state");
    if (!state_dir_open(wanted, place->dir, sizeof place->dir, place->message, sizeof place->message)) {
        fail_msg("%s", place->message);
    }
    *state = place;
    return 0;
}

static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry = NULL;
    while (folder && (entry = readdir(folder))) {
        char child[PATH_SIZE];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        path_in(child, path, entry->d_name);
        if (unlink(child) != 0) remove_tree(child);
    }
    if (folder) closedir(folder);
    rmdir(path);
}

static int tear_down(void **state)
{
    Place *place = *state;
    remove_tree(place->root);
    free(place);
    return 0;
}

static unsigned mode_of(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 07777;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static size_t count_files(const char *path)
{
    DIR *folder = opendir(path);
    size_t count = 0;
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2;
}

static void expect_in(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("\"%s\" does not say \"%s\"", text, part);
    if (strchr(text, '\n')) fail_msg("\"%s\" is more than one line", text);
}

/* --- state folder --------------------------------------------------------------------------------------------------- */

static void the_state_folder_is_found_and_made(void **state)
{
    Place *place = *state;
    char expected[PATH_SIZE];
    char found[PATH_SIZE];

    assert_int_equal(mode_of(place->dir), 0700);
    path_in(expected, place->root, "xdg/gatehouse");
    path_in(found, place->root, "xdg");
    setenv("XDG_STATE_HOME", found, 1);
    setenv("HOME", place->root, 1);
    assert_true(state_dir_open(NULL, found, sizeof found, place->message, sizeof place->message));
    assert_string_equal(found, expected);
    assert_int_equal(mode_of(found), 0700);

    setenv("XDG_STATE_HOME", "relative", 1);
    path_in(expected, place->root, ".local/state/gatehouse");
    assert_true(state_dir_open("", found, sizeof found, place->message, sizeof place->message));
    assert_string_equal(found, expected);
    assert_true(state_dir_open("", found, sizeof found, place->message, sizeof place->message)); /* it is there now */

    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    assert_false(state_dir_open(NULL, found, sizeof found, place->message, sizeof place->message));
    expect_in(place->message, "--state-dir");
}

static void a_state_folder_that_is_not_private_is_refused(void **state)
{
    Place *place = *state;
    char found[PATH_SIZE];
    char other[PATH_SIZE];

    assert_int_equal(chmod(place->dir, 0750), 0);
    assert_false(state_dir_open(place->dir, found, sizeof found, place->message, sizeof place->message));
    expect_in(place->message, "chmod 700");
    assert_int_equal(chmod(place->dir, 0701), 0);
    assert_false(state_dir_open(place->dir, found, sizeof found, place->message, sizeof place->message));
    assert_int_equal(chmod(place->dir, 0700), 0);
    assert_true(state_dir_open(place->dir, found, sizeof found, place->message, sizeof place->message));

    assert_false(state_dir_open("/", found, sizeof found, place->message, sizeof place->message));
    path_in(other, place->root, "file");
    write_file(other, "", 0600);
    assert_false(state_dir_open(other, found, sizeof found, place->message, sizeof place->message));
    expect_in(place->message, "state folder");
    path_in(other, place->root, "file/below");
    assert_false(state_dir_open(other, found, sizeof found, place->message, sizeof place->message));
    expect_in(place->message, "Not a directory");
}

static void a_state_folder_of_another_user_is_refused(void **state)
{
    Place *place = *state;
    char found[PATH_SIZE];

    if (geteuid() != 0) skip(); /* only root can give a folder away */
    assert_int_equal(chown(place->dir, 12345, (gid_t)-1), 0);
    assert_false(state_dir_open(place->dir, found, sizeof found, place->message, sizeof place->message));
    expect_in(place->message, "belongs to another user");
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    Place *place = *state;
    char longer[8192];
    char found[PATH_SIZE];

    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_false(state_dir_open(longer, found, sizeof found, place->message, sizeof place->message));
    expect_in(place->message, "too long");
    assert_false(state_dir_path(place->dir, longer, found, sizeof found, place->message, sizeof place->message));
    expect_in(place->message, "too long");
}

/* --- the key -------------------------------------------------------------------------------------------------------- */

static void the_key_is_made_once_and_stays(void **state)
{
    Place *place = *state;
    char path[PATH_SIZE];
    IdentityFileInfo info;

    path_in(path, place->dir, "device.json");
    Identity *first = identity_file_open(place->dir, 1737264000000, &info, place->message, sizeof place->message);
    if (!first) fail_msg("%s", place->message);
    assert_true(info.made_now);
    assert_true(info.created_at_ms == 1737264000000);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(count_files(place->dir), 1);

    Identity *second = identity_file_open(place->dir, 1800000000000, &info, place->message, sizeof place->message);
    assert_non_null(second);
    assert_false(info.made_now);
    assert_true(info.created_at_ms == 1737264000000);
    assert_string_equal(identity_id(first), identity_id(second));

    /* Another folder, another key. */
    Identity *other = identity_file_open(place->root, 1, NULL, place->message, sizeof place->message);
    assert_non_null(other);
    assert_string_not_equal(identity_id(first), identity_id(other));
    identity_free(first);
    identity_free(second);
    identity_free(other);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0644, 0610};
    Place *place = *state;
    char path[PATH_SIZE];

    path_in(path, place->dir, "device.json");
    identity_free(identity_file_open(place->dir, 1, NULL, place->message, sizeof place->message));
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_null(identity_file_open(place->dir, 1, NULL, place->message, sizeof place->message));
        expect_in(place->message, "run: chmod 600 ");
        expect_in(place->message, path);
    }
    assert_int_equal(chmod(path, 0600), 0);
    Identity *identity = identity_file_open(place->dir, 1, NULL, place->message, sizeof place->message);
    assert_non_null(identity);
    identity_free(identity);
}

/* A key of zeros, and its id. */
#define SEED "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ID "139e3940e64b5491722088d9a0d741628fc826e09475d341a780acde3c4b8070"

static void a_damaged_key_is_refused_and_never_overwritten(void **state)
{
    static const char *const contents[] = {
        "",
        "{}",
        "not json",
        "{\"version\":1}",
        "{\"version\":2,\"deviceId\":\"x\",\"seed\":\"" SEED "\",\"createdAtMs\":1}",
        "{\"version\":1,\"deviceId\":\"x\",\"seed\":\"" SEED "\",\"createdAtMs\":1}", /* not the key's id */
        "{\"version\":1,\"deviceId\":\"" ID "\",\"seed\":\"" SEED "\",\"createdAtMs\":null}",
        "{\"version\":1,\"deviceId\":\"" ID "\",\"seed\":\"AAAA\",\"createdAtMs\":1}",
        "{\"version\":1,\"deviceId\":\"" ID "\",\"seed\":\"" SEED "\",\"createdAtMs\":1}x",
    };
    Place *place = *state;
    char path[PATH_SIZE];

    path_in(path, place->dir, "device.json");
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        Buffer after = buffer_with_headroom(0);
        write_file(path, contents[i], 0600);
        assert_null(identity_file_open(place->dir, 1, NULL, place->message, sizeof place->message));
        expect_in(place->message, "is damaged");
        assert_null(strstr(place->message, "AAAA"));
        assert_int_equal(atomic_file_read_private(path, 4096, &after, place->message, sizeof place->message),
                         ATOMIC_FILE_DONE);
        assert_true(slice_is(buffer_slice(&after), contents[i]));
        buffer_free(&after);
    }
}

static void what_is_no_file_is_refused(void **state)
{
    Place *place = *state;
    char path[PATH_SIZE];

    path_in(path, place->dir, "device.json");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_null(identity_file_open(place->dir, 1, NULL, place->message, sizeof place->message));
    expect_in(place->message, "not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
    assert_null(identity_file_open(place->dir, 1, NULL, place->message, sizeof place->message));
    expect_in(place->message, "not a regular file");
    assert_null(identity_file_open("/nowhere/at/all", 1, NULL, place->message, sizeof place->message));
    expect_in(place->message, "cannot write /nowhere/at/all/device.json: No such file or directory");
}

static void first_use_by_many_processes_ends_with_one_key(void **state)
{
    enum { PROCESSES = 16 };
    Place *place = *state;
    int go[2];
    int ids[2];
    char first[IDENTITY_ID_SIZE - 1];
    char id[IDENTITY_ID_SIZE - 1];
    size_t made = 0;

    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(ids), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            IdentityFileInfo info;
            char byte = 0;
            close(go[1]);
            ssize_t waited = read(go[0], &byte, 1); /* all begin when the parent closes its end */
            Identity *identity = identity_file_open(place->dir, 1, &info, place->message, sizeof place->message);
            bool told = waited == 0 && identity && write(ids[1], identity_id(identity), sizeof id) == sizeof id;
            _exit(told ? info.made_now : 100);
        }
    }
    close(go[0]);
    close(go[1]);
    close(ids[1]);
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        made += (size_t)WEXITSTATUS(status);
    }
    assert_int_equal(made, 1);
    assert_int_equal(read(ids[0], first, sizeof first), sizeof first);
    for (int i = 1; i < PROCESSES; i++) {
        assert_int_equal(read(ids[0], id, sizeof id), sizeof id);
        assert_memory_equal(id, first, sizeof id);
    }
    close(ids[0]);
    assert_int_equal(count_files(place->dir), 1); /* no temporary file is left */
}

/* --- device tokens -------------------------------------------------------------------------------------------------- */

static void expect_token(Place *place, DeviceTokenKey key, const char *expected)
{
    char token[DEVICE_TOKENS_TOKEN_SIZE];
    if (!device_tokens_get(&key, token, place->message, sizeof place->message)) fail_msg("%s", place->message);
    assert_string_equal(token, expected);
}

static void put(Place *place, DeviceTokenKey key, const char *token)
{
    if (!device_tokens_put(&key, token, 1737264000000, place->message, sizeof place->message)) {
        fail_msg("%s", place->message);
    }
}

static void tokens_are_kept_per_device_gateway_and_role(void **state)
{
    Place *place = *state;
    char path[PATH_SIZE];
    DeviceTokenKey key = {place->dir, "device-1", "ws://127.0.0.1:18789/", "operator"};
    DeviceTokenKey other_url = {place->dir, "device-1", "wss://\"quoted\"/\xc3\xa4", "operator"};
    DeviceTokenKey other_role = {place->dir, "device-1", "ws://127.0.0.1:18789/", "node"};
    DeviceTokenKey other_device = {place->dir, "device-2", "ws://127.0.0.1:18789/", "operator"};

    path_in(path, place->dir, "device-tokens.json");
    expect_token(place, key, "");
    put(place, key, NULL); /* nothing to drop */
    put(place, key, "one");
    assert_int_equal(mode_of(path), 0600);
    put(place, other_url, "two \"\\");
    put(place, other_role, "three");
    expect_token(place, key, "one");
    expect_token(place, other_url, "two \"\\");
    expect_token(place, other_role, "three");
    expect_token(place, other_device, "");
    put(place, key, "four");
    expect_token(place, key, "four");
    expect_token(place, other_role, "three");
    put(place, key, NULL);
    expect_token(place, key, "");
    expect_token(place, other_url, "two \"\\");

    /* A new device begins with none: those of the old one are worthless. */
    put(place, other_device, "five");
    expect_token(place, other_device, "five");
    expect_token(place, other_url, "");
    assert_int_equal(count_files(place->dir), 1);
}

static void damaged_or_open_tokens_are_refused(void **state)
{
    static const char *const contents[] = {"", "[]", "{", "{\"version\":1}", "{\"version\":9,\"tokens\":[]}"};
    Place *place = *state;
    char path[PATH_SIZE];
    char token[DEVICE_TOKENS_TOKEN_SIZE];
    DeviceTokenKey key = {place->dir, "device-1", "ws://127.0.0.1:18789/", "operator"};

    path_in(path, place->dir, "device-tokens.json");
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        write_file(path, contents[i], 0600);
        assert_false(device_tokens_get(&key, token, place->message, sizeof place->message));
        expect_in(place->message, "damaged");
        assert_false(device_tokens_put(&key, "new", 1, place->message, sizeof place->message));
        expect_in(place->message, "damaged");
    }
    write_file(path, "{\"version\":1,\"deviceId\":\"device-1\",\"tokens\":[]}", 0644);
    assert_false(device_tokens_get(&key, token, place->message, sizeof place->message));
    expect_in(place->message, "chmod 600");
    write_file(path, "{\"version\":1,\"deviceId\":\"device-1\",\"tokens\":[]}", 0600);
    put(place, key, "new");
    expect_token(place, key, "new");
}

static void a_token_that_is_too_long_is_refused(void **state)
{
    Place *place = *state;
    DeviceTokenKey key = {place->dir, "device-1", "ws://127.0.0.1:18789/", "operator"};
    char token[DEVICE_TOKENS_TOKEN_SIZE + 1];

    memset(token, 'x', sizeof token);
    token[DEVICE_TOKENS_TOKEN_SIZE] = '\0';
    assert_false(device_tokens_put(&key, token, 1, place->message, sizeof place->message));
    expect_in(place->message, "too long");
    token[DEVICE_TOKENS_TOKEN_SIZE - 1] = '\0';
    put(place, key, token);
    expect_token(place, key, token);
}

static void writers_do_not_lose_each_others_tokens(void **state)
{
    enum { PROCESSES = 12 };
    Place *place = *state;
    char urls[PROCESSES][32];

    for (int i = 0; i < PROCESSES; i++) {
        snprintf(urls[i], sizeof urls[i], "ws://gateway-%d/", i);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            DeviceTokenKey key = {place->dir, "device-1", urls[i], "operator"};
            _exit(!device_tokens_put(&key, urls[i], 1, place->message, sizeof place->message));
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        expect_token(place, (DeviceTokenKey){place->dir, "device-1", urls[i], "operator"}, urls[i]);
    }
}

/* --- whole files ---------------------------------------------------------------------------------------------------- */

static void a_file_is_replaced_as_a_whole_or_created_once(void **state)
{
    Place *place = *state;
    char path[PATH_SIZE];
    char *message = place->message;
    size_t size = sizeof place->message;
    Buffer content = buffer_with_headroom(0);

    path_in(path, place->dir, "file");
    assert_int_equal(atomic_file_read_private(path, 100, &content, message, size), ATOMIC_FILE_ABSENT);
    assert_int_equal(atomic_file_create(path, slice_of("one"), message, size), ATOMIC_FILE_DONE);
    assert_int_equal(atomic_file_create(path, slice_of("two"), message, size), ATOMIC_FILE_EXISTS);
    assert_int_equal(atomic_file_read_private(path, 100, &content, message, size), ATOMIC_FILE_DONE);
    assert_true(slice_is(buffer_slice(&content), "one"));
    assert_int_equal(atomic_file_write(path, slice_of("three"), message, size), ATOMIC_FILE_DONE);
    buffer_clear(&content);
    assert_int_equal(atomic_file_read_private(path, 5, &content, message, size), ATOMIC_FILE_DONE);
    assert_true(slice_is(buffer_slice(&content), "three"));
    assert_int_equal(atomic_file_read_private(path, 4, &content, message, size), ATOMIC_FILE_FAILED);
    expect_in(message, "too large");
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(atomic_file_write(place->dir, slice_of("x"), message, size), ATOMIC_FILE_FAILED);
    expect_in(message, "cannot write ");
    assert_int_equal(count_files(place->dir), 1);
    assert_int_equal(count_files(place->root), 1);
    buffer_free(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_state_folder_is_found_and_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_folder_that_is_not_private_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_folder_of_another_user_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_that_is_too_long_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_key_is_made_once_and_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_that_others_can_read_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_key_is_refused_and_never_overwritten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(first_use_by_many_processes_ends_with_one_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens_are_kept_per_device_gateway_and_role, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_or_open_tokens_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_that_is_too_long_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writers_do_not_lose_each_others_tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_is_replaced_as_a_whole_or_created_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
