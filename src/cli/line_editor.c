/* line_editor.c - see line_editor.h.
 *
 * libedit is loaded when a line is to be edited, not with the program: it would cost a host that runs apps 400 KiB of memory. */
#include "cli/line_editor.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LINES 1000
#define LIST_COLUMNS 80

#define LIBRARY "libedit.so.2"

/* What the dynamic linker would have filled in. */
static struct {
    __typeof__(el_init) *el_init;
    __typeof__(el_end) *el_end;
    __typeof__(el_set) *el_set;
    __typeof__(el_wset) *el_wset;
    __typeof__(el_get) *el_get;
    __typeof__(el_gets) *el_gets;
    __typeof__(el_line) *el_line;
    __typeof__(el_insertstr) *el_insertstr;
    __typeof__(el_resize) *el_resize;
    __typeof__(history_init) *history_init;
    __typeof__(history_end) *history_end;
    __typeof__(history) *history;
} edit;

static bool find(void *library, const char *name, void *place)
{
    void *function = dlsym(library, name);

    memcpy(place, &function, sizeof function); /* C has no conversion between the two */
    return function != NULL;
}

static bool load_library(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    return library && find(library, "el_init", &edit.el_init) && find(library, "el_end", &edit.el_end) &&
           find(library, "el_set", &edit.el_set) && find(library, "el_wset", &edit.el_wset) &&
           find(library, "el_get", &edit.el_get) && find(library, "el_gets", &edit.el_gets) &&
           find(library, "el_line", &edit.el_line) && find(library, "el_insertstr", &edit.el_insertstr) &&
           find(library, "el_resize", &edit.el_resize) && find(library, "history_init", &edit.history_init) &&
           find(library, "history_end", &edit.history_end) && find(library, "history", &edit.history);
}

struct LineEditor {
    LineEditorConfig config;
    EditLine *editor; /* NULL: no terminal */
    History *history;
    const char *prompt;
    bool abandoned;
};

/* --- completion ---------------------------------------------------------------------------------------------------------------- */

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == ':';
}

/* The next line of the names that begins with `start` and is a name, whatever else there is. */
static bool next_name(Slice *rest, Slice start, Slice *name)
{
    while (rest->size > 0) {
        const char *newline = memchr(rest->data, '\n', rest->size);
        size_t size = newline ? (size_t)(newline - rest->data) : rest->size, plain = 0;
        size_t used = newline ? size + 1 : size;
        *name = slice_make(rest->data, size);
        *rest = slice_make(rest->data + used, rest->size - used);
        while (plain < size && is_name_character(name->data[plain])) {
            plain++;
        }
        if (plain == size && size >= start.size && memcmp(name->data, start.data, start.size) == 0) return true;
    }
    return false;
}

static void list_names(Slice names, Slice start)
{
    Slice name;
    size_t column = 0, width = 1;
    Slice rest = names;

    while (next_name(&rest, start, &name)) {
        if (name.size + 2 > width) width = name.size + 2;
    }
    (void)putchar('\n');
    while (next_name(&names, start, &name)) {
        if (column > 0 && column + width > LIST_COLUMNS) {
            (void)putchar('\n');
            column = 0;
        }
        (void)printf("%-*.*s", (int)width, SLICE_ARGS(name));
        column += width;
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

/* How much all of them begin with, and how many there are. */
static size_t common_size(Slice names, Slice start, Slice *first)
{
    Slice name;
    size_t count = 0;

    while (next_name(&names, start, &name)) {
        if (count++ == 0) *first = name;
        size_t same = 0;
        while (same < first->size && same < name.size && first->data[same] == name.data[same]) {
            same++;
        }
        first->size = same;
    }
    return count;
}

static unsigned char insert(EditLine *editor, Slice text)
{
    char *copy = strndup(text.data, text.size);
    int failed = copy ? edit.el_insertstr(editor, copy) : -1;

    free(copy);
    return failed ? CC_ERROR : CC_REFRESH;
}

static unsigned char on_tab(EditLine *editor, wint_t key)
{
    LineEditor *self = NULL;
    const LineInfo *line = edit.el_line(editor);
    Buffer names = {0};
    unsigned char answer = CC_ERROR;
    const char *begin = line->cursor;
    Slice first = {0};

    (void)key;
    (void)edit.el_get(editor, EL_CLIENTDATA, &self);
    while (begin > line->buffer && is_name_character(begin[-1])) {
        begin--;
    }
    Slice start = slice_make(begin, (size_t)(line->cursor - begin));
    if (start.size == 0) return insert(editor, slice_of("  "));
    self->config.complete(self->config.context, start, &names);
    size_t count = common_size(buffer_slice(&names), start, &first);
    if (count > 0 && first.size > start.size) {
        answer = insert(editor, slice_make(first.data + start.size, first.size - start.size));
    } else if (count > 1) {
        list_names(buffer_slice(&names), start);
        answer = CC_REDISPLAY;
    }
    buffer_free(&names);
    return answer;
}

/* The terminal does not make a signal of it while a line is edited. */
static unsigned char on_interrupt(EditLine *editor, wint_t key)
{
    LineEditor *self = NULL;

    (void)key;
    (void)edit.el_get(editor, EL_CLIENTDATA, &self);
    self->abandoned = true;
    return CC_EOF;
}

static char *prompt_of(EditLine *editor)
{
    LineEditor *self = NULL;
    static char none[] = "";

    (void)edit.el_get(editor, EL_CLIENTDATA, &self);
    return self ? (char *)(uintptr_t)self->prompt : none;
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */

static void open_history(LineEditor *self)
{
    HistEvent event;

    self->history = edit.history_init();
    if (!self->history) return;
    (void)edit.history(self->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)edit.history(self->history, &event, H_SETUNIQUE, 1);
    int fd = open(self->config.history, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        (void)close(fd);
        (void)edit.history(self->history, &event, H_LOAD, self->config.history);
    }
    (void)edit.el_set(self->editor, EL_HIST, edit.history, self->history);
}

static bool open_editor(LineEditor *self)
{
    /* What is typed is UTF-8, whatever the environment forgot to say. Nothing else of a locale is wanted. */
    if ((!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) && !setlocale(LC_CTYPE, "C.UTF-8"))
        (void)setlocale(LC_CTYPE, "C");
    self->editor = edit.el_init("gatehouse", stdin, stdout, stderr);
    if (!self->editor) return false;
    (void)edit.el_set(self->editor, EL_CLIENTDATA, self);
    (void)edit.el_set(self->editor, EL_PROMPT, prompt_of);
    (void)edit.el_set(self->editor, EL_EDITOR, "emacs");
    /* el_set would copy the names of functions, and lose the copies. */
    (void)edit.el_wset(self->editor, EL_ADDFN, L"gatehouse-complete", L"Complete a name", on_tab);
    (void)edit.el_set(self->editor, EL_BIND, "^I", "gatehouse-complete", NULL);
    (void)edit.el_wset(self->editor, EL_ADDFN, L"gatehouse-abandon", L"Abandon the line", on_interrupt);
    (void)edit.el_set(self->editor, EL_BIND, "^C", "gatehouse-abandon", NULL);
    (void)edit.el_set(self->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)edit.el_set(self->editor, EL_SETTY, "-d", "-isig", NULL);
    (void)edit.el_set(self->editor, EL_SIGNAL, 1); /* one that ends the process gives the terminal back before */
    open_history(self);
    return true;
}

LineEditor *line_editor_new(const LineEditorConfig *config)
{
    LineEditor *self = calloc(1, sizeof *self);

    if (!self) return NULL;
    self->config = *config;
    self->prompt = "";
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return self;
    if (!load_library()) {
        (void)fputs("gatehouse repl: " LIBRARY " is not installed, so lines cannot be edited\n", stderr);
        return self;
    }
    if (open_editor(self)) return self;
    free(self);
    return NULL;
}

void line_editor_free(LineEditor *self)
{
    if (!self) return;
    if (self->editor) edit.el_end(self->editor);
    if (self->history) edit.history_end(self->history);
    free(self);
}

bool line_editor_is_terminal(const LineEditor *self)
{
    return self->editor != NULL;
}

/* --- reading ------------------------------------------------------------------------------------------------------------------- */

static LineEvent take(Buffer *line, const char *text, size_t size)
{
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    buffer_append(line, text, size);
    return LINE_READ;
}

static LineEvent read_plain(Buffer *line)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size = getline(&text, &room, stdin);
    LineEvent event = size < 0 ? LINE_END : take(line, text, (size_t)size);

    free(text);
    return event;
}

LineEvent line_editor_read(LineEditor *self, const char *prompt, Buffer *line)
{
    HistEvent event;
    int size = 0;

    if (!self->editor) return read_plain(line);
    self->prompt = prompt;
    self->abandoned = false;
    edit.el_resize(self->editor);
    const char *text = edit.el_gets(self->editor, &size);
    if (self->abandoned) {
        (void)fputs("^C\n", stdout);
        (void)fflush(stdout);
        return LINE_ABANDONED;
    }
    if (!text || size <= 0) return LINE_END;
    if (self->history && strspn(text, " \t\r\n") < (size_t)size) {
        /* Written at once: a terminal that is closed leaves no time for it. */
        (void)edit.history(self->history, &event, H_ENTER, text);
        (void)edit.history(self->history, &event, H_SAVE, self->config.history);
    }
    return take(line, text, (size_t)size);
}
