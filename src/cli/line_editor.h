/* line_editor.h - a line of input from a terminal, with editing, history and completion, by libedit; or from a file or pipe,
 * without. */
#ifndef GATEHOUSE_CLI_LINE_EDITOR_H
#define GATEHOUSE_CLI_LINE_EDITOR_H

#include "protocol/buffer.h"

typedef struct LineEditor LineEditor;

typedef struct {
    const char *history; /* the file of the lines of earlier times; made with mode 0600 */
    void *context;
    /* Appends what a name may become, one a line: each begins with `start`. */
    void (*complete)(void *context, Slice start, Buffer *names);
} LineEditorConfig;

/* NULL without memory. The texts are borrowed. */
LineEditor *line_editor_new(const LineEditorConfig *config);
void line_editor_free(LineEditor *self); /* keeps the history; NULL is fine */

bool line_editor_is_terminal(const LineEditor *self);

typedef enum { LINE_READ, LINE_ABANDONED, LINE_END } LineEvent;

/* Reads a line, without its end, into `line`. ABANDONED: the user pressed ctrl-C. The prompt is for terminals. */
LineEvent line_editor_read(LineEditor *self, const char *prompt, Buffer *line);

#endif
