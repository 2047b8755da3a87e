/* tasks_private.h - what tasks.c (tasks, and running them) and task_wait.c (their waits, and what ends them) share. */
#ifndef GATEHOUSE_APP_TASKS_PRIVATE_H
#define GATEHOUSE_APP_TASKS_PRIVATE_H

#include "app/generation_private.h"

#define SLOT_BITS 24
#define SLOT_MASK ((1u << SLOT_BITS) - 1)

typedef enum { WAIT_NONE, WAIT_ANY, WAIT_RESPONSE } WaitKind;

struct Task {
    Task *next; /* in the list of ready or of idle ones */
    lua_State *L;
    int thread_ref; /* keeps the coroutine */
    size_t slot;
    uint64_t id;   /* 0: idle */
    uint64_t wait; /* name of the wait; 0: none */
    WaitKind kind;
    bool yielded; /* the wait has begun for good: it can be woken */
    bool ready;
    bool cancelled;
    int accepted_ref; /* a function for a response that is not the last */
    int args;         /* values for the next step, on its stack */
    AppTimer alarm;
    Lane *lane;        /* of a handler's call; NULL otherwise */
    int64_t begun_us;  /* and when that began */
    Message *message;  /* … for that event */
    unsigned attempts; /* … which has failed so often before */
    bool keeps;        /* … and has a reference of it */
    bool probe;        /* … which decides whether the handler stays off */
    uint64_t asked;    /* by whom, if somebody waits for its results; 0: nobody */
    const char *what;  /* label for messages */
};

/* tasks.c */
uint64_t task_new_name(Tasks *tasks, size_t slot); /* for a task or a wait */
void task_push_ready(Generation *generation, Task *task);

/* task_wait.c */
void task_alarm_fires(lua_State *L, AppTimer *timer);
void task_forget_wait(Generation *generation, Task *task); /* whatever it waits for does not wake it any more */

#endif
