/* table.c - see table.h. A character is taken to be one column wide. */
#include "cli/table.h"

#include "host/log.h"

#include <stdarg.h>
#include <stdio.h>

#define GAP_COLUMNS 2

const char *table_style(TableStyle style)
{
    static const char *const sequences[] = {
        [TABLE_PLAIN] = "",        [TABLE_DIM] = "\033[2m",   [TABLE_BOLD] = "\033[1m",
        [TABLE_GOOD] = "\033[32m", [TABLE_WARN] = "\033[33m", [TABLE_BAD] = "\033[31m",
    };
    return sequences[style];
}

void table_free(Table *table)
{
    buffer_free(&table->cells);
}

void table_add(Table *table, TableStyle style, Slice text)
{
    buffer_append_char(&table->cells, (char)style);
    log_append_plain(&table->cells, text); /* no newline is left in it */
    buffer_append_char(&table->cells, '\n');
}

void table_add_format(Table *table, TableStyle style, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    table_add(table, style, slice_of(text));
}

static size_t width_of(Slice text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.size; i++) {
        if (((unsigned char)text.data[i] & 0xc0) != 0x80) width++;
    }
    return width;
}

/* Steps over the cells. */
static bool next_cell(Slice *rest, TableStyle *style, Slice *text)
{
    if (rest->size == 0) return false;
    const char *newline = memchr(rest->data, '\n', rest->size);
    if (!newline) return false;
    size_t size = (size_t)(newline - rest->data);
    *style = (TableStyle)rest->data[0];
    *text = slice_make(rest->data + 1, size - 1);
    *rest = slice_make(newline + 1, rest->size - size - 1);
    return true;
}

static void pad(Buffer *out, size_t count)
{
    while (count-- > 0) {
        buffer_append_char(out, ' ');
    }
}

void table_write(const Table *table, size_t indent, bool colour, Buffer *out)
{
    size_t columns = strlen(table->align), widths[TABLE_COLUMNS] = {0}, column = 0;
    Slice rest = buffer_slice(&table->cells), text;
    TableStyle style;

    for (; next_cell(&rest, &style, &text); column = (column + 1) % columns) {
        size_t width = width_of(text);
        if (width > widths[column]) widths[column] = width;
    }
    rest = buffer_slice(&table->cells);
    size_t blanks = 0; /* before the next text; none are left at the end of a line */
    for (column = 0; next_cell(&rest, &style, &text); column = (column + 1) % columns) {
        size_t space = widths[column] - width_of(text);
        bool right = table->align[column] == 'r', styled = colour && style != TABLE_PLAIN;
        blanks += (column == 0 ? indent : GAP_COLUMNS) + (right ? space : 0);
        if (text.size > 0) {
            pad(out, blanks);
            blanks = 0;
            if (styled) buffer_append_text(out, table_style(style));
            buffer_append_slice(out, text);
            if (styled) buffer_append_text(out, TABLE_END);
        }
        if (!right) blanks += space;
        if (column + 1 < columns) continue;
        buffer_append_char(out, '\n');
        blanks = 0;
    }
}
