/* config_file.h - gatehouse.lua: a Lua chunk that returns a table of plain data, read into JSON. */
#ifndef GATEHOUSE_API_CONFIG_FILE_H
#define GATEHOUSE_API_CONFIG_FILE_H

#include "protocol/buffer.h"

/* Runs the file in a state without any library and appends the table that it returns as a JSON object to `json`. Tables with
 * keys 1..n are arrays, an empty table is {}. False, with file, line and cause in `problem`. */
bool config_file_read(const char *path, Buffer *json, char *problem, size_t problem_size);

#endif
