/* state_dir.h - the folder for what the host keeps: keys, tokens, data of apps. Mode 0700. */
#ifndef GATEHOUSE_HOST_STATE_DIR_H
#define GATEHOUSE_HOST_STATE_DIR_H

#include <stdbool.h>
#include <stddef.h>

/* Finds the folder and makes it, with its parents, if it is not there: `configured` (--state-dir) or, if that is NULL or
 * empty, $XDG_STATE_HOME/gatehouse or ~/.local/state/gatehouse. Writes its path. False with a sentence in `message` when
 * there is no such place, others can access it, or it belongs to another user. */
bool state_dir_open(const char *configured, char *path, size_t path_size, char *message, size_t message_size);

/* Only says where it would be, for who looks at another process's. False with a sentence in `message` when there is no such place. */
bool state_dir_find(const char *configured, char *path, size_t path_size, char *message, size_t message_size);

/* The path of `name` inside `state_dir`. False with a sentence in `message` if it is too long. */
bool state_dir_path(const char *state_dir, const char *name, char *path, size_t path_size, char *message,
                    size_t message_size);

#endif
