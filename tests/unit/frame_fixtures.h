/* frame_fixtures.h - walks over the recorded frames in tests/fixtures/frames. */
#ifndef GATEHOUSE_TESTS_FRAME_FIXTURES_H
#define GATEHOUSE_TESTS_FRAME_FIXTURES_H

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/json.h"

typedef struct {
    const char *file;
    size_t number;    /* of the line, from 1 */
    Slice connection; /* its name */
    Slice direction;  /* recv, send, upgrade, close, ping, note */
    Slice frame;      /* raw JSON; empty if the line has none */
    bool is_text;     /* the frame was no JSON: `frame` is a string that holds its text */
} FixtureLine;

/* Calls `visit` for each line of the recordings whose name matches `pattern` ("*", "v4-*"); returns how many lines had a frame. */
static inline size_t fixture_frames(const char *pattern, void (*visit)(const FixtureLine *line, void *context),
                                    void *context)
{
    char path[512];
    glob_t found;
    size_t frames = 0;
    snprintf(path, sizeof path, "%s/frames/%s.jsonl", GATEHOUSE_FIXTURES, pattern);
    if (glob(path, 0, NULL, &found) != 0) return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *file = fopen(found.gl_pathv[i], "r");
        char *text = NULL;
        size_t capacity = 0;
        ssize_t size;
        FixtureLine line = {.file = found.gl_pathv[i]};
        while (file && (size = getline(&text, &capacity, file)) > 0) {
            Slice whole = slice_make(text, (size_t)size);
            line.number++;
            line.connection = json_plain_string(json_find(whole, "conn"));
            line.direction = json_plain_string(json_find(whole, "dir"));
            line.frame = json_find(whole, "frame");
            line.is_text = json_type(line.frame) == JSON_STRING;
            frames += line.frame.size > 0;
            visit(&line, context);
        }
        free(text);
        if (file) fclose(file);
    }
    globfree(&found);
    return frames;
}

#endif
