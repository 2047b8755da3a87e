/* test_api_gw.c - gw.on, gw.once, gw.send, gw.info, gw.app, gw.read_file as scripts see them, and the err tables. */
#define _GNU_SOURCE /* nftw */
#include "api/api.h"

#include "api_rig.h"

static void handlers_get_payload_and_event(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(
        rig,
        "gw.on('agent', function(payload, event)\n"
        "  assert(payload.n == 9007199254740993 and payload.list[2] == 'b' and payload.nothing == json.null)\n"
        "  assert(event.name == 'agent' and event.seq == 7 and event.received_ms == 1000 and event.connection == 1)\n"
        "  log.info('exact')\n"
        "end)\n"
        "gw.on('sess*', function(_, event) log.info('prefix ' .. event.name) end)\n"
        "gw.on('*', function(_, event) log.info('all ' .. event.name) end)\n"
        "gw.on('@ready', function(_, event) log.info('host ' .. event.name) end)\n");
    rig_event(rig, "agent", "{\"n\":9007199254740993,\"list\":[\"a\",\"b\"],\"nothing\":null}");
    rig_event(rig, "session.message", "{}");
    rig_event(rig, "@ready", "{}");
    rig_await_log(rig, "host @ready");
    assert_non_null(strstr(rig->log, "info exact"));
    assert_non_null(strstr(rig->log, "info prefix session.message"));
    assert_non_null(strstr(rig->log, "info all session.message"));
    assert_null(strstr(rig->log, "all @ready"));
    assert_null(strstr(rig->log, "error"));
    rig_stop(rig);
    rig_free(rig);
}

static void once_and_cancel(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.once('a', function() log.info('once') end)\n"
                 "local other = gw.on('a', function() log.info('other') end)\n"
                 "gw.on('b', function() assert(other:cancel() == true); assert(other:cancel() == false) end)\n"
                 "gw.on('end', function() log.info('end') end)\n");
    rig_event(rig, "a", "1");
    rig_event(rig, "a", "2");
    rig_event(rig, "b", "3");
    rig_event(rig, "a", "4");
    rig_event(rig, "end", "5");
    rig_await_log(rig, "info end");
    assert_int_equal(rig_count(rig, "info once"), 1);
    assert_int_equal(rig_count(rig, "info other"), 2);
    assert_null(strstr(rig->log, "error"));
    rig_stop(rig);
    rig_free(rig);
}

static void keys_keep_their_order_and_do_not_wait_for_each_other(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.on('m', function(p) gw.send(p.key .. p.n) end, { key = function(p) return p.key end })");
    rig_event(rig, "m", "{\"key\":\"a\",\"n\":1}");
    rig_event(rig, "m", "{\"key\":\"a\",\"n\":2}");
    rig_event(rig, "m", "{\"key\":\"b\",\"n\":1}");
    assert_string_equal(rig_await_request(rig, 2)->method, "b1");
    assert_string_equal(rig->requests[0].method, "a1");
    rig_answer(rig, &rig->requests[0], true, true, "1");
    assert_string_equal(rig_await_request(rig, 3)->method, "a2");
    rig_stop(rig);
    rig_free(rig);
}

static void misuse_of_on_is_refused(void **state)
{
    (void)state;
    rig_refused("gw.on('@redy', print)", "main.lua:1: bad argument #1 to 'on' (there is no host event '@redy'");
    rig_refused("gw.on('@*', print)", "there is no host event '@*'");
    rig_refused("gw.on('a*b', print)", "a '*' stands at the end");
    rig_refused("gw.on('a**', print)", "a '*' stands at the end");
    rig_refused("gw.on('', print)", "the name of an event is expected");
    rig_refused("gw.on('a\\0b', print)", "the name of an event is expected");
    rig_refused("gw.on(1, print)", "string expected");
    rig_refused("gw.on('a')", "function expected");
    rig_refused("gw.on('a', print, { concurency = 2 })",
                "there is no option 'concurency'; known: concurrency, key, queue");
    rig_refused("gw.on('a', print, { concurrency = 0 })",
                "option 'concurrency': an integer from 1 on is expected, got 0");
    rig_refused("gw.on('a', print, { concurrency = 1.5 })", "an integer from 1 on");
    rig_refused("gw.on('a', print, { key = 'k' })", "option 'key': a function is expected, got string");
    rig_refused("gw.on('a', print, { key = print, concurrency = 2 })", "exclude each other");
    rig_refused("gw.on('a', print, { 1 })", "there is no option '1'");
    rig_refused("gw.once('a', print, { queue = 1 })", "takes no options");
    rig_refused("gw.nothing = 1", "gw.nothing cannot be assigned");
}

/* --- gw.send ------------------------------------------------------------------------------------------------------ */

static void send_returns_the_payload(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.on('go', function()\n"
                 "  local a, none = gw.send('sessions.list', { limit = 3, tags = json.array {}, more = {} })\n"
                 "  assert(a.n == 12 and none == nil)\n"
                 "  local b = gw.send('status')\n"
                 "  assert(b == json.null)\n"
                 "  gw.send('slow', {}, { timeout = 1.5, wait = 0.0001 })\n"
                 "  log.info('done')\n"
                 "end)");
    rig_event(rig, "go", "{}");
    RigRequest *request = rig_await_request(rig, 1);
    assert_string_equal(request->method, "sessions.list");
    assert_non_null(strstr(request->params, "\"limit\":3"));
    assert_non_null(strstr(request->params, "\"tags\":[]"));
    assert_non_null(strstr(request->params, "\"more\":{}"));
    assert_int_equal(request->timeout_ms, 0);
    rig_answer(rig, request, true, true, "{\"n\":12}");
    request = rig_await_request(rig, 2);
    assert_string_equal(request->params, "");
    rig_answer(rig, request, true, true, "null");
    request = rig_await_request(rig, 3);
    assert_string_equal(request->params, "{}");
    assert_int_equal(request->timeout_ms, 1500);
    assert_int_equal(request->wait_ms, 1);
    rig_answer(rig, request, true, true, "{}");
    rig_await_log(rig, "info done");
    assert_null(strstr(rig->log, "error"));
    rig_stop(rig);
    rig_free(rig);
}

static void send_returns_what_went_wrong(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.on('go', function()\n"
                 "  local no, err = gw.send('a.b', {})\n"
                 "  assert(no == nil)\n"
                 "  assert(err.code == 'UNAVAILABLE' and err.message == 'try later' and err.retryable == true)\n"
                 "  assert(err.retry_after_ms == 500 and err.retryAfterMs == nil and err.details.code == 'X' and "
                 "err.method == 'a.b')\n"
                 "  assert(tostring(err) == 'a.b failed: UNAVAILABLE: try later')\n"
                 "  no, err = gw.send('old')\n"
                 "  assert(err.code == '-32601' and err.details == nil and err.retryable == nil)\n"
                 "  no, err = gw.send('odd')\n"
                 "  assert(err.code == 'UNKNOWN' and tostring(err) == 'odd failed: UNKNOWN: \"what\"', tostring(err))\n"
                 "  no, err = gw.send('gone')\n"
                 "  assert(err.code == 'DISCONNECTED' and err.sent == true)\n"
                 "  no, err = gw.send('broken')\n"
                 "  assert(err.code == 'BAD_RESPONSE')\n"
                 "  assert(not pcall(error, err) and select(2, pcall(error, err)) == err)\n"
                 "  log.info('done')\n"
                 "end)");
    rig_event(rig, "go", "{}");
    rig_answer(rig, rig_await_request(rig, 1), false, true,
               "{\"code\":\"UNAVAILABLE\",\"message\":\"try "
               "later\",\"details\":{\"code\":\"X\"},\"retryable\":true,\"retryAfterMs\":500}");
    rig_answer(rig, rig_await_request(rig, 2), false, true, "{\"code\":-32601,\"message\":\"no\",\"details\":null}");
    rig_answer(rig, rig_await_request(rig, 3), false, true, "\"what\"");
    rig_answer(rig, rig_await_request(rig, 4), false, true,
               "{\"code\":\"DISCONNECTED\",\"message\":\"gone\",\"sent\":true}");
    rig_answer(rig, rig_await_request(rig, 5), true, true, "{broken");
    rig_await_log(rig, "info done");
    assert_null(strstr(rig->log, "error "));
    rig_stop(rig);
    rig_free(rig);
}

static void params_without_a_json_form_are_an_error(void **state)
{
    (void)state;
    rig_check("gw.on('@start', function()\n"
              "  local no, err = gw.send('a', { list = { 1, { f = print } } })\n"
              "  assert(no == nil and err.code == 'BAD_PARAMS' and err.method == 'a')\n"
              "  assert(err.message:find('params.list[2].f', 1, true) and err.message:find('function', 1, true), "
              "err.message)\n"
              "  no, err = gw.send('a', { 1, 2 })\n"
              "  assert(err.code == 'BAD_PARAMS' and err.message:find('object', 1, true))\n"
              "  no, err = gw.send('a', { x = 0/0 })\n"
              "  assert(err.code == 'BAD_PARAMS')\n"
              "  no, err = gw.send('a', { x = '\\xff' })\n"
              "  assert(err.code == 'BAD_PARAMS')\n"
              "  local loop = {}\n"
              "  loop.loop = loop\n"
              "  no, err = gw.send('a', loop)\n"
              "  assert(err.code == 'BAD_PARAMS')\n"
              "  log.info('done')\n"
              "end)");
}

static void misuse_of_send_raises_with_its_place(void **state)
{
    (void)state;
    rig_check("local function fails(part, ...)\n"
              "  local ok, message = pcall(gw.send, ...)\n"
              "  assert(not ok and message:find(part, 1, true), message)\n"
              "end\n"
              "gw.on('@start', function()\n"
              "  fails('string expected')\n"
              "  fails('string expected', 12)\n"
              "  fails('the name of a method', '')\n"
              "  fails('the name of a method', 'a b')\n"
              "  fails('the name of a method', 'a\"b')\n"
              "  fails('table expected, got string', 'a', 'b')\n"
              "  fails(\"there is no option 'timout'; known: timeout, wait, final, on_accepted, idempotent\", 'a', {}, "
              "{ timout = 1 })\n"
              "  fails(\"option 'timeout': a number of seconds above 0\", 'a', {}, { timeout = 0 })\n"
              "  fails(\"option 'timeout'\", 'a', {}, { timeout = '1' })\n"
              "  fails(\"option 'timeout'\", 'a', {}, { timeout = 0/0 })\n"
              "  fails(\"option 'wait'\", 'a', {}, { wait = -1 })\n"
              "  fails(\"option 'final': true or false\", 'a', {}, { final = 1 })\n"
              "  fails('final = true', 'a', {}, { on_accepted = print })\n"
              "  local ok, message = pcall(function() gw.send() end)\n"
              "  assert(message:find('main.lua:%d+: bad argument #1 to \\'send\\''), message)\n"
              "  log.info('done')\n"
              "end)");
}

static void only_tasks_can_wait(void **state)
{
    (void)state;
    rig_refused("gw.send('agents.list')", "main.lua:1: gw.send waits, which the main chunk of an app cannot, since "
                                          "there is no connection yet: put it into gw.on(\"@ready\"");
    rig_refused("coroutine.wrap(function() task.sleep(1) end)()", "task.sleep waits, which the main chunk");
    rig_refused("task.all { print }", "task.all waits, which the main chunk");
    rig_check("gw.on('@start', function()\n"
              "  local ok, message = coroutine.resume(coroutine.create(function() gw.send('a') end))\n"
              "  assert(not ok and message:find('use task.spawn', 1, true), message)\n"
              "  ok, message = pcall(table.sort, { 1, 2 }, function() task.sleep(0) end)\n"
              "  assert(not ok and message:find('table.sort', 1, true), message)\n"
              "  local meta = setmetatable({}, { __index = function() return task.sleep(0) end })\n"
              "  assert(pcall(function() return meta.x end))\n"
              "  log.info('done')\n"
              "end)");
}

static void two_responses(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.on('go', function()\n"
                 "  local answer = gw.send('agent', { message = 'hi' }, { final = true, on_accepted = function(first)\n"
                 "    log.info('accepted ' .. first.runId)\n"
                 "  end })\n"
                 "  log.info('final ' .. answer.status)\n"
                 "end)");
    rig_event(rig, "go", "{}");
    RigRequest *request = rig_await_request(rig, 1);
    assert_true(request->final);
    rig_answer(rig, request, true, false, "{\"status\":\"accepted\",\"runId\":\"r1\"}");
    rig_await_log(rig, "accepted r1");
    assert_null(strstr(rig->log, "final"));
    rig_answer(rig, request, true, true, "{\"status\":\"ok\"}");
    rig_await_log(rig, "final ok");
    rig_stop(rig);
    rig_free(rig);
}

static void idempotent_adds_a_key_unless_there_is_one(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    char keys[3][37] = {""};
    rig_run(rig, "for i, params in ipairs { { a = 1 }, {}, { idempotencyKey = 'mine' } } do\n"
                 "  gw.on('go' .. i, function() gw.send('m', params, { idempotent = true }) end)\n"
                 "end\n"
                 "gw.on('go4', function() gw.send('m', nil, { idempotent = true }) end)\n");
    rig_event(rig, "go1", "");
    rig_event(rig, "go2", "");
    rig_event(rig, "go3", "");
    rig_event(rig, "go4", "");
    rig_await_request(rig, 4);
    assert_int_equal(sscanf(rig->requests[0].params, "{\"a\":1,\"idempotencyKey\":\"%36[0-9a-f-]\"}", keys[0]), 1);
    assert_int_equal(sscanf(rig->requests[1].params, "{\"idempotencyKey\":\"%36[0-9a-f-]\"}", keys[1]), 1);
    assert_string_equal(rig->requests[2].params, "{\"idempotencyKey\":\"mine\"}");
    assert_int_equal(sscanf(rig->requests[3].params, "{\"idempotencyKey\":\"%36[0-9a-f-]\"}", keys[2]), 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(strlen(keys[i]), 36);
    assert_string_not_equal(keys[0], keys[1]);
    for (size_t i = 0; i < 4; i++)
        assert_true(rig->requests[i].resend);
    rig_stop(rig);
    rig_free(rig);
}

static void a_missing_scope_is_told_once_with_its_name(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.on('go', function(method) gw.send(method) end)\ngw.on('end', function() log.info('end') end)");
    const char *modern = "{\"code\":\"FORBIDDEN\",\"message\":\"missing scope: operator.write\","
                         "\"details\":{\"code\":\"MISSING_SCOPE\",\"missingScope\":\"operator.write\"}}";
    const char *older = "{\"code\":\"INVALID_REQUEST\",\"message\":\"missing scope: operator.admin\"}";
    for (size_t i = 1; i <= 4; i++) {
        rig_event(rig, "go", i % 2 ? "\"first\"" : "\"second\"");
        rig_answer(rig, rig_await_request(rig, i), false, true, i % 2 ? modern : older);
    }
    rig_event(rig, "end", "");
    rig_await_log(rig, "info end");
    assert_int_equal(rig_count(rig, "warn first needs the scope operator.write, which this connection does not have: "
                                    "add it to the setting scopes"),
                     1);
    assert_int_equal(rig_count(rig, "warn second needs the scope operator.admin"), 1);
    assert_int_equal(rig_count(rig, "warn"), 2);
    rig_stop(rig);
    rig_free(rig);
}

static void stopping_cancels_what_waits(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "gw.on('go', function()\n"
                 "  local no, err = gw.send('slow')\n"
                 "  log.info('ended', { code = err.code, text = tostring(err) })\n"
                 "end)\n"
                 "gw.on('@stop', function() log.info('stop') end)");
    rig_event(rig, "go", "");
    rig_await_request(rig, 1);
    rig_stop(rig);
    assert_non_null(strstr(rig->log, "\"code\":\"CANCELLED\""));
    assert_non_null(strstr(rig->log, "info stop"));
    assert_true(rig->requests[0].cancelled);
    rig_free(rig);
}

static void a_host_without_memory_raises(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig->refuses = true;
    rig_run(rig, "gw.on('@start', function()\n"
                 "  local ok, message = pcall(gw.send, 'a', { b = 1 })\n"
                 "  assert(not ok and message:find('not enough memory'), message)\n"
                 "  assert(task.sleep(0) == true)\n"
                 "  log.info('done')\n"
                 "end)");
    rig_await_log(rig, "info done");
    rig_stop(rig);
    rig_free(rig);
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

static void the_app_and_the_connection(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig->settings = "{\"limit\":3,\"names\":[]}";
    rig_run(rig, "assert(gw.app.name == 'rig' and gw.app.generation == 1 and gw.app.data_dir:find('/data$'))\n"
                 "assert(gw.app.config.limit == 3 and json.encode(gw.app.config.names) == '[]')\n"
                 "assert(gw.info().state == 'stopped')\n"
                 "local before = gw.now()\n"
                 "assert(math.type(before) == 'float' and gw.now() >= before)\n"
                 "gw.on('go', function() assert(gw.info().protocol == 4) log.info('done') end)\n");
    rig_push(rig, message_connection(slice_of("{\"state\":\"ready\",\"protocol\":4}")));
    rig_event(rig, "go", "");
    rig_await_log(rig, "info done");
    rig_stop(rig);
    rig_free(rig);
}

static void files_of_the_app(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_file(rig, "app/data/words.txt", "one\ntwo\n");
    rig_file(rig, "secret.txt", "no");
    rig_run(rig, "assert(gw.read_file('data/words.txt') == 'one\\ntwo\\n')\n"
                 "local function fails(code, path)\n"
                 "  local no, err = gw.read_file(path)\n"
                 "  assert(no == nil and err.code == code, tostring(err))\n"
                 "end\n"
                 "fails('NOT_FOUND', 'data/none.txt')\n"
                 "fails('NOT_FOUND', 'data/words.txt/x')\n"
                 "fails('READ_FAILED', 'data')\n"
                 "fails('BAD_PATH', '../secret.txt')\n"
                 "fails('BAD_PATH', 'data/../../secret.txt')\n"
                 "fails('BAD_PATH', 'data/..')\n"
                 "fails('BAD_PATH', '/etc/passwd')\n"
                 "fails('BAD_PATH', '')\n"
                 "fails('BAD_PATH', 'data/words.txt\\0x')\n"
                 "fails('NOT_FOUND', '..data')\n"
                 "assert(not pcall(gw.read_file))\n"
                 "log.info('done')");
    rig_await_log(rig, "info done");
    rig_stop(rig);
    rig_free(rig);
}

/* The usual worker: it need not know of stopping. What begins while stopping may wait as ever. */
static void stopping_ends_a_loop_of_waits(void **state)
{
    (void)state;
    Rig *rig = rig_new();
    rig_run(rig, "task.spawn(function() while true do task.sleep(3600) end end)\n"
                 "gw.on('@start', function() while true do task.sleep(3600) end end)\n"
                 "gw.on('@stop', function() log.info(tostring(task.sleep(0.001))) end)");
    rig_stop(rig);
    assert_non_null(strstr(rig->log, "info true"));
    assert_null(strstr(rig->log, "warn"));
    assert_null(strstr(rig->log, "error"));
    rig_free(rig);
}

/* Finalizers run until the state is closed; what they would register then, nobody would free. */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_get_payload_and_event),
        cmocka_unit_test(once_and_cancel),
        cmocka_unit_test(keys_keep_their_order_and_do_not_wait_for_each_other),
        cmocka_unit_test(misuse_of_on_is_refused),
        cmocka_unit_test(send_returns_the_payload),
        cmocka_unit_test(send_returns_what_went_wrong),
        cmocka_unit_test(params_without_a_json_form_are_an_error),
        cmocka_unit_test(misuse_of_send_raises_with_its_place),
        cmocka_unit_test(only_tasks_can_wait),
        cmocka_unit_test(two_responses),
        cmocka_unit_test(idempotent_adds_a_key_unless_there_is_one),
        cmocka_unit_test(a_missing_scope_is_told_once_with_its_name),
        cmocka_unit_test(stopping_cancels_what_waits),
        cmocka_unit_test(a_host_without_memory_raises),
        cmocka_unit_test(the_app_and_the_connection),
        cmocka_unit_test(files_of_the_app),
        cmocka_unit_test(stopping_ends_a_loop_of_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
