/* file.h - a whole file, read. May wait for the disk. No Lua in here, so nothing is lost to a raised error. */
#ifndef GATEHOUSE_APP_FILE_H
#define GATEHOUSE_APP_FILE_H

#include "protocol/buffer.h"

typedef enum { FILE_READ, FILE_MISSING, FILE_TOO_LARGE, FILE_FAILED } FileResult;

/* Appends the content of a regular file of at most `limit_bytes`. `problem` says what is wrong otherwise, and what
 * was appended is to be thrown away. */
FileResult file_read(const char *path, size_t limit_bytes, Buffer *content, char *problem, size_t problem_size);

#endif
