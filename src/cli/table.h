/* table.h - rows of text in aligned columns, for terminals. What is put in may come from the wire: it is escaped. */
#ifndef GATEHOUSE_CLI_TABLE_H
#define GATEHOUSE_CLI_TABLE_H

#include "protocol/buffer.h"

#define TABLE_COLUMNS 16

typedef enum { TABLE_PLAIN, TABLE_DIM, TABLE_BOLD, TABLE_GOOD, TABLE_WARN, TABLE_BAD } TableStyle;

typedef struct {
    const char *align; /* a letter for each column: 'l' or 'r' */
    Buffer cells;      /* each with its style in front and a newline behind */
} Table;

/* All zero but for `align` is an empty table. */
void table_free(Table *table);
/* The next cell, from left to right and top to bottom. */
void table_add(Table *table, TableStyle style, Slice text);
void table_add_format(Table *table, TableStyle style, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Appends the rows, each behind `indent` blanks. */
void table_write(const Table *table, size_t indent, bool colour, Buffer *out);

/* The escape sequence that begins a style, "" for TABLE_PLAIN; TABLE_END ends all of them. */
const char *table_style(TableStyle style);
#define TABLE_END "\033[0m"

#endif
