/* test_identity.c - the device's key: RFC 8032 vectors, what gateways have accepted, base64url. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocol/identity.h"
#include "protocol/json.h"

static Slice text_of(Slice object, const char *key)
{
    return json_plain_string(json_find(object, key));
}

/* RFC 8032, section 7.1, test 1 (an empty message) and test 2. */
static void signs_as_rfc_8032_says(void **state)
{
    static const uint8_t seed1[] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
                                    0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
                                    0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
    static const uint8_t seed2[] = {0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
                                    0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
                                    0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
    static const struct {
        const uint8_t *seed;
        const char *text, *public_key, *signature;
    } vectors[] = {
        {seed1, "", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
         "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc-bRr0lv18FlbviRlUUFDjnoQCw"},
        {seed2, "r", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
         "kqAJqfDUyrhyDoILX2QlQKKye1QWUD-Ps3YiI-vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA"},
    };
    char signature[IDENTITY_SIGNATURE_SIZE];
    char id[IDENTITY_ID_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        Identity *identity = identity_new(vectors[i].seed);
        assert_non_null(identity);
        assert_true(identity_sign(identity, slice_of(vectors[i].text), signature));
        assert_true(
            identity_verify(slice_of(identity_public_key(identity)), slice_of(vectors[i].text), slice_of(signature)));
        assert_true(identity_id_of(slice_of(identity_public_key(identity)), id));
        assert_string_equal(id, identity_id(identity));
        assert_string_equal(identity_public_key(identity), vectors[i].public_key);
        assert_string_equal(signature, vectors[i].signature);
        identity_free(identity);
    }
}

/* Claims that real gateways accepted: written from the same fields they must come out the same, and verify. */
static void writes_the_claims_that_gateways_accepted(void **state)
{
    FILE *file = fopen(GATEHOUSE_FIXTURES "/session/claims.jsonl", "r");
    char *line = NULL;
    size_t room = 0;
    size_t count = 0;
    ssize_t length = 0;

    (void)state;
    assert_non_null(file);
    while ((length = getline(&line, &room, file)) > 0) {
        Slice recorded = slice_make(line, (size_t)length - 1);
        Slice params = json_find(recorded, "params");
        Slice device = json_find(params, "device");
        Slice client = json_find(params, "client");
        Slice scope = {0};
        Slice auth = json_find(params, "auth");
        Buffer expected = buffer_with_headroom(0);
        Buffer scopes = buffer_with_headroom(0);
        Buffer claim = buffer_with_headroom(0);
        char id[128], client_id[32], mode[32], role[32], token[128] = "", nonce[128], platform[32];
        int64_t signed_at_ms = 0;

        assert_true(json_get_string(json_find(recorded, "signed"), &expected));
        assert_true(json_copy_string(json_find(device, "id"), id, sizeof id));
        assert_true(json_copy_string(json_find(device, "nonce"), nonce, sizeof nonce));
        assert_true(json_get_int(json_find(device, "signedAt"), &signed_at_ms));
        assert_true(json_copy_string(json_find(client, "id"), client_id, sizeof client_id));
        assert_true(json_copy_string(json_find(client, "mode"), mode, sizeof mode));
        assert_true(json_copy_string(json_find(client, "platform"), platform, sizeof platform));
        assert_true(json_copy_string(json_find(params, "role"), role, sizeof role));
        if (!json_copy_string(json_find(auth, "token"), token, sizeof token)) {
            json_copy_string(json_find(auth, "deviceToken"), token, sizeof token);
        }
        JsonCursor cursor = json_cursor(json_find(params, "scopes"));
        for (size_t i = 0; json_next_element(&cursor, &scope); i++) {
            if (i > 0) buffer_append_char(&scopes, ',');
            assert_true(json_get_string(scope, &scopes));
        }
        buffer_append(&scopes, "", 1);

        identity_write_claim(&claim, &(IdentityClaim){.device_id = id,
                                                      .client_id = client_id,
                                                      .client_mode = mode,
                                                      .role = role,
                                                      .scopes = buffer_slice(&scopes).data,
                                                      .signed_at_ms = signed_at_ms,
                                                      .token = token,
                                                      .nonce = nonce,
                                                      .platform = platform});
        buffer_append(&claim, "", 1);
        buffer_append(&expected, "", 1);
        assert_string_equal(buffer_slice(&claim).data, buffer_slice(&expected).data);
        claim.end--;
        /* The recording has refused ones too; those with a bad signature are not in this file. */
        assert_true(identity_verify(text_of(device, "publicKey"), buffer_slice(&claim), text_of(device, "signature")));
        assert_true(identity_id_of(text_of(device, "publicKey"), id));
        assert_true(slice_is(text_of(device, "id"), id));
        buffer_free(&expected);
        buffer_free(&scopes);
        buffer_free(&claim);
        count++;
    }
    assert_int_equal(count, 9);
    free(line);
    fclose(file);
}

static void platform_and_family_are_folded(void **state)
{
    static const struct {
        const char *platform, *family, *expected;
    } cases[] = {
        {"Linux", NULL, "v3|d|cli|cli|operator||-5|||linux|"},
        {" \tLinux \n", " Server X ", "v3|d|cli|cli|operator||-5|||linux|server x"},
        {"   ", "", "v3|d|cli|cli|operator||-5||||"},
        {NULL,
         "\xc3\x84"
         "B",
         "v3|d|cli|cli|operator||-5||||\xc3\x84"
         "b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buffer claim = buffer_with_headroom(0);
        identity_write_claim(&claim, &(IdentityClaim){.device_id = "d",
                                                      .client_id = "cli",
                                                      .client_mode = "cli",
                                                      .role = "operator",
                                                      .scopes = "",
                                                      .signed_at_ms = -5,
                                                      .token = "",
                                                      .nonce = "",
                                                      .platform = cases[i].platform,
                                                      .device_family = cases[i].family});
        buffer_append(&claim, "", 1);
        assert_string_equal(buffer_slice(&claim).data, cases[i].expected);
        buffer_free(&claim);
    }
}

static void verify_refuses_what_is_not_signed(void **state)
{
    const uint8_t seed[IDENTITY_SEED_SIZE] = {1, 2, 3};
    const uint8_t other_seed[IDENTITY_SEED_SIZE] = {4, 5, 6};
    Identity *identity = identity_new(seed);
    Identity *other = identity_new(other_seed);
    char signature[IDENTITY_SIGNATURE_SIZE];
    char id[IDENTITY_ID_SIZE];

    (void)state;
    Slice key = slice_of(identity_public_key(identity));
    Slice text = slice_of("text");
    assert_true(identity_sign(identity, text, signature));
    assert_true(identity_verify(key, text, slice_of(signature)));
    assert_false(identity_verify(key, slice_of("Text"), slice_of(signature)));
    assert_false(identity_verify(slice_of(identity_public_key(other)), text, slice_of(signature)));
    assert_false(identity_verify(slice_of("short"), text, slice_of(signature)));
    assert_false(identity_verify(key, text, slice_of("short")));
    assert_false(identity_verify(key, text, (Slice){0}));
    assert_false(identity_id_of(slice_of("short"), id));
    for (size_t i = 0; i < strlen(signature); i++) {
        char changed[IDENTITY_SIGNATURE_SIZE];
        memcpy(changed, signature, sizeof changed);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_false(identity_verify(key, text, slice_of(changed)));
    }
    identity_free(identity);
    identity_free(other);
    identity_free(NULL);
}

static void base64url_goes_both_ways(void **state)
{
    static const char *const texts[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"}; /* RFC 4648 */
    const char *plain = "foobar";
    uint8_t bytes[256];
    uint8_t back[256];
    char text[400];

    (void)state;
    for (size_t size = 0; size <= 6; size++) {
        base64url_encode((const uint8_t *)plain, size, text);
        assert_string_equal(text, texts[size]);
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 167 + 13);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        base64url_encode(bytes, size, text);
        assert_int_equal(strlen(text), (size * 4 + 2) / 3);
        assert_int_equal(base64url_decode(slice_of(text), back, size), size);
        assert_memory_equal(back, bytes, size);
        if (size > 0) assert_int_equal(base64url_decode(slice_of(text), back, size - 1), -1);
    }
    base64url_encode((const uint8_t *)"\xff\xef\xbe", 3, text);
    assert_string_equal(text, "_---"); /* both characters that differ from base64 */
}

static void base64url_refuses_other_texts(void **state)
{
    static const char *const texts[] = {"A", "AAAAA", "Zg==", "Zm9v\n", " Zm9v", "Zm9+", "Zm9/", "Zh", "Zm9", "Z\xc3"};
    uint8_t bytes[16];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (base64url_decode(slice_of(texts[i]), bytes, sizeof bytes) != -1) fail_msg("took \"%s\"", texts[i]);
    }
    assert_int_equal(base64url_decode((Slice){0}, bytes, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_as_rfc_8032_says),         cmocka_unit_test(writes_the_claims_that_gateways_accepted),
        cmocka_unit_test(platform_and_family_are_folded), cmocka_unit_test(verify_refuses_what_is_not_signed),
        cmocka_unit_test(base64url_goes_both_ways),       cmocka_unit_test(base64url_refuses_other_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
