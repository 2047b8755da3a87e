/* test_options.c - the option parser, and "did you mean". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/options.h"
#include "host/config_private.h"
#include "host/suggest.h"

#include <stdlib.h>
#include <string.h>

static const OptionId ids[] = {OPTION_URL, OPTION_TOKEN_FILE, OPTION_FINAL, OPTION_LOG_LEVEL, OPTION_LOG_FORMAT};
static const OptionList list = {ids, sizeof ids / sizeof *ids};
static char problem[256];
static Parsed parsed;

/* Words are separated by spaces. getopt reorders argv, whose texts have to stay for `parsed`. */
static bool parse(const char *line)
{
    static char text[256];
    static char *argv[16];
    int argc = 0;

    (void)snprintf(text, sizeof text, "%s", line);
    for (char *rest = text, *word; (word = strsep(&rest, " "));) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    *problem = '\0';
    return options_parse(&list, 1, argc, argv, &parsed, problem, sizeof problem);
}

static void values_flags_and_arguments_in_any_order(void **state)
{
    (void)state;
    assert_true(parse("call one --url ws://a/ two --final --log-level=warn three"));
    assert_string_equal(parsed.values[OPTION_URL], "ws://a/");
    assert_string_equal(parsed.values[OPTION_FINAL], "");
    assert_string_equal(parsed.values[OPTION_LOG_LEVEL], "warn");
    assert_null(parsed.values[OPTION_TOKEN_FILE]);
    assert_int_equal(parsed.count, 3);
    assert_string_equal(parsed.arguments[0], "one");
    assert_string_equal(parsed.arguments[2], "three");
}

static void nothing_is_left_of_the_parse_before(void **state)
{
    (void)state;
    assert_true(parse("call --url=x"));
    assert_true(parse("call -- --url y"));
    assert_null(parsed.values[OPTION_URL]);
    assert_int_equal(parsed.count, 2);
    assert_string_equal(parsed.arguments[0], "--url");
}

static void the_last_of_a_repeated_option_counts_and_a_value_may_be_empty(void **state)
{
    (void)state;
    assert_true(parse("call --url=a --url=b --token-file="));
    assert_string_equal(parsed.values[OPTION_URL], "b");
    assert_string_equal(parsed.values[OPTION_TOKEN_FILE], "");
}

static void a_dash_is_an_argument(void **state)
{
    (void)state;
    assert_true(parse("call method -"));
    assert_int_equal(parsed.count, 2);
    assert_string_equal(parsed.arguments[1], "-");
}

static void help_is_always_known(void **state)
{
    (void)state;
    assert_true(parse("call --help"));
    assert_non_null(parsed.values[OPTION_HELP]);
    assert_true(parse("call -h"));
    assert_non_null(parsed.values[OPTION_HELP]);
}

static void assert_refused(const char *line, const char *expected)
{
    assert_false(parse(line));
    assert_string_equal(problem, expected);
}

static void what_is_refused(void **state)
{
    (void)state;
    assert_refused("call --ulr x", "there is no option --ulr; did you mean --url?");
    assert_refused("call --ulr=x", "there is no option --ulr; did you mean --url?");
    assert_refused("call --frobnicate", "there is no option --frobnicate");
    assert_refused("call --config x", "there is no option --config"); /* of another subcommand */
    assert_refused("call -q", "there is no option -q");
    assert_refused("call --url", "--url wants a value: --url URL");
    assert_refused("call --final=1", "--final takes no value");
}

static void abbreviations_are_refused(void **state)
{
    (void)state;
    assert_refused("call --token s3cret", "there is no option --token; did you mean --token-file?");
    assert_refused("call --token=s3cret", "there is no option --token; did you mean --token-file?");
    assert_refused("call --fin", "there is no option --fin; did you mean --final?");
    assert_refused("call --log x", "there is no option --log; did you mean --log-level?");
}

static void every_option_tells_what_it_is_for(void **state)
{
    (void)state;
    for (int i = 0; i < OPTION_END; i++) {
        assert_non_null(option_infos[i].name);
        assert_true(strlen(option_infos[i].help) > 5);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(option_infos[i].name, option_infos[j].name);
        }
    }
    /* Every setting can be given as an option of its own name. */
    for (int setting = 0; setting < SETTING_COUNT; setting++) {
        int found = 0;
        for (int i = 0; i < OPTION_END; i++) {
            if (option_infos[i].setting != setting + 1) continue;
            found++;
            for (size_t c = 0; option_infos[i].name[c]; c++) {
                char expected = setting_infos[setting].key[c];
                assert_int_equal(option_infos[i].name[c], expected == '_' ? '-' : expected);
            }
        }
        assert_int_equal(found, 1);
    }
}

static const char *nearest(const char *word)
{
    static const char *const names[] = {"run", "call", "tail", "check", "device", "display_name"};
    Suggestion suggestion = suggest_for(word);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        suggest_consider(&suggestion, names[i]);
    }
    return suggestion.best ? suggestion.best : "";
}

static void suggestions(void **state)
{
    char text[64];

    (void)state;
    assert_string_equal(nearest("rnu"), "run");
    assert_string_equal(nearest("chek"), "check");
    assert_string_equal(nearest("divice"), "device");
    assert_string_equal(nearest("displayname"), "display_name");
    assert_string_equal(nearest("frobnicate"), "");
    assert_string_equal(nearest(""), "");
    assert_string_equal(nearest("a word that is much too long to be a mistyped name of anything here"), "");
    Suggestion none = suggest_for("x");
    assert_string_equal(suggest_text(&none, text, sizeof text), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_flags_and_arguments_in_any_order),
        cmocka_unit_test(nothing_is_left_of_the_parse_before),
        cmocka_unit_test(the_last_of_a_repeated_option_counts_and_a_value_may_be_empty),
        cmocka_unit_test(a_dash_is_an_argument),
        cmocka_unit_test(help_is_always_known),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(abbreviations_are_refused),
        cmocka_unit_test(every_option_tells_what_it_is_for),
        cmocka_unit_test(suggestions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
