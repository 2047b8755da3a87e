/* device.c - `gatehouse device`: who this device is to gateways, what they gave it, and how an operator lets it in. */
#include "cli/command.h"
#include "cli/context.h"
#include "host/device_tokens.h"
#include "host/identity_file.h"
#include "host/state_dir.h"
#include "protocol/json.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
    bool json;
    size_t tokens;
    Buffer out;
} Device;

static const char *date_of(int64_t wall_ms, char *text, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm local;

    localtime_r(&seconds, &local);
    return strftime(text, size, "%Y-%m-%d %H:%M", &local) > 0 ? text : "unknown";
}

static void add_token(void *context, const char *url, const char *role, int64_t saved_at_ms)
{
    Device *device = context;
    char date[32];

    if (device->json) {
        if (device->tokens > 0) buffer_append_char(&device->out, ',');
        buffer_append_char(&device->out, '{');
        json_write_member_string(&device->out, "url", url);
        json_write_member_string(&device->out, "role", role);
        json_write_member_int(&device->out, "savedAtMs", saved_at_ms);
        buffer_append_char(&device->out, '}');
    } else {
        buffer_append_text(&device->out, device->tokens == 0 ? "tokens      " : "            ");
        log_append_plain(&device->out, slice_of(url));
        buffer_append_text(&device->out, " as ");
        log_append_plain(&device->out, slice_of(role));
        buffer_append_format(&device->out, ", since %s\n", date_of(saved_at_ms, date, sizeof date));
    }
    device->tokens++;
}

static bool describe(Device *device, const char *state_dir, char *problem, size_t problem_size)
{
    char key[PATH_MAX], tokens[PATH_MAX], date[32];
    struct timespec now;
    IdentityFileInfo info;

    clock_gettime(CLOCK_REALTIME, &now);
    Identity *identity = identity_file_open(state_dir, (int64_t)now.tv_sec * 1000, &info, problem, problem_size);
    if (!identity) return false;
    Buffer *out = &device->out;
    bool done = state_dir_path(state_dir, "device.json", key, sizeof key, problem, problem_size) &&
                state_dir_path(state_dir, "device-tokens.json", tokens, sizeof tokens, problem, problem_size);

    if (device->json) {
        buffer_append_char(out, '{');
        json_write_member_string(out, "id", identity_id(identity));
        json_write_member_string(out, "publicKey", identity_public_key(identity));
        json_write_member_int(out, "createdAtMs", info.created_at_ms);
        json_write_member_string(out, "keyFile", key);
        json_write_member_string(out, "tokenFile", tokens);
        json_write_key(out, "tokens");
        buffer_append_char(out, '[');
    } else {
        buffer_append_format(out, "device id   %s\npublic key  %s\ncreated     %s%s\nkey file    %s\ntoken file  %s\n",
                             identity_id(identity), identity_public_key(identity),
                             date_of(info.created_at_ms, date, sizeof date), info.made_now ? " (just now)" : "", key,
                             tokens);
    }
    done = done && device_tokens_each(state_dir, identity_id(identity), add_token, device, problem, problem_size);
    if (device->json) {
        buffer_append_text(out, "]}\n");
    } else {
        if (device->tokens == 0) buffer_append_text(out, "tokens      none: no gateway has issued one yet\n");
        buffer_append_text(out,
                           "\nA gateway that does not know this device asks its operator. On the gateway's machine:\n"
                           "    openclaw devices list\n"
                           "    openclaw devices approve REQUEST   (gatehouse run says which)\n");
    }
    identity_free(identity);
    return done;
}

static int device_main(const Command *command, const Parsed *parsed)
{
    Context context;
    Device device = {.json = parsed->values[OPTION_JSON] != NULL};
    char state_dir[PATH_MAX], problem[1024];

    if (parsed->count > 0)
        return command_misused(command, "it takes no argument, and there is \"%s\"", parsed->arguments[0]);
    int status = context_open(&context, command, parsed, LOG_WARN);
    if (status == CLI_OK && (!state_dir_open(config_text(context.config, SETTING_STATE_DIR), state_dir,
                                             sizeof state_dir, problem, sizeof problem) ||
                             !describe(&device, state_dir, problem, sizeof problem))) {
        status = command_fail(command, CLI_FAILED, "%s", problem);
    }
    if (status == CLI_OK) {
        Slice text = buffer_slice(&device.out);
        bool written =
            !device.out.failed && fwrite(text.data, 1, text.size, stdout) == text.size && fflush(stdout) == 0;
        if (!written) status = command_fail(command, CLI_FAILED, "the output could not be written");
    }
    buffer_free(&device.out);
    context_close(&context);
    return status;
}

static const OptionId own_options[] = {OPTION_JSON};

const Command command_device = {
    .name = "device",
    .arguments = "",
    .summary = "Show this device's identity and how to approve it",
    .details = "Makes the key if there is none. Tokens that gateways issued are listed, not\n"
               "shown.\n",
    .options = {own_options, sizeof own_options / sizeof *own_options},
    .shared = &local_options,
    .run = device_main,
};
