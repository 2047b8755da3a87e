/* identity_file.h - where the device's key lives: `device.json` in the state folder, made on first use. */
#ifndef GATEHOUSE_HOST_IDENTITY_FILE_H
#define GATEHOUSE_HOST_IDENTITY_FILE_H

#include "protocol/identity.h"

typedef struct {
    int64_t created_at_ms; /* wall clock */
    bool made_now;         /* there was none before this call */
} IdentityFileInfo;

/* Reads the key, or makes one. Processes that do so at the same time end with the same one. `now_ms` is the wall clock;
 * `info` may be NULL. The caller frees the identity. NULL with a sentence in `message`: the file cannot be read or
 * written, others can access it, or it is damaged. A damaged file is never overwritten. */
Identity *identity_file_open(const char *state_dir, int64_t now_ms, IdentityFileInfo *info, char *message,
                             size_t message_size);

#endif
