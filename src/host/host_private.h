/* host_private.h - what the files host*.c share. */
#ifndef GATEHOUSE_HOST_HOST_PRIVATE_H
#define GATEHOUSE_HOST_HOST_PRIVATE_H

#include "host/host.h"
#include "host/router.h"
#include "net/file_watch.h"

#include <stdatomic.h>

typedef struct Control Control;

#define HOST_WATCH_MS 1000 /* how often apps with work are looked at, while there are any */
#define HOST_PATIENCE_MS \
    20 /* an app whose inbox is full may hold up all for so long, before the disk takes what comes; … */
#define HOST_LONG_PATIENCE_MS 50 /* … for so long, while it takes so many messages in each of those times */
#define HOST_PATIENCE_COUNT 400
#define HOST_STUCK_MS 5000   /* an app in which nothing ends for longer holds up nobody any more */
#define HOST_REPEAT_MS 10000 /* between two lines about the same app */

#define HOST_OUTBOX_BYTES (64u << 20) /* of an app's requests on the way to the I/O thread; more: QUEUE_FULL */

/* Made with a request, so that it can be answered without memory. */
typedef struct HostAnswer HostAnswer;
struct HostAnswer {
    HostAnswer *next;
    uint64_t token; /* while it is owed: of which request */
    unsigned owner; /* and whose */
};

/* Who waits for a reload, of one app or of all, or for a piece of Lua to be evaluated. */
typedef struct HostWaiter HostWaiter;
typedef struct HostEval HostEval;

/* An app and what the host knows of it. The app's thread uses the fields up to `ended`, and those only through posted work. */
typedef struct {
    Host *host;
    App *app;
    int number;                   /* in the router; the owner of its requests in the session */
    LoopWork relief, ended, news; /* posted by the app's threads */
    atomic_bool relief_posted, news_posted;
    atomic_size_t outbox_bytes; /* of requests on the way to the I/O thread */
    atomic_bool awaited;        /* the I/O thread stands still until the app's has loaded or ended: it need not post */
    bool presses;               /* its inbox is over its mark: the link is paused */
    int64_t pressed_ms;         /* since when */
    uint64_t taken;             /* from its inbox, when that was last looked at */
    bool stuck;        /* it does not come back: its inbox may fill to the limit, then events are kept from it */
    bool waits;        /* while stuck: its handlers wait, none runs; it is back when its inbox has sunk */
    uint64_t withheld; /* events kept from it, those that the router still counts aside */
    uint64_t
        handled; /* handler calls that had ended, or were skipped, at progress_ms, or when it began to press after that */
    int64_t progress_ms;
    HostWaiter *waiting; /* for the load that runs */
    HostWaiter *later;   /* for the next one */
    bool loads;          /* a load runs */
    bool wants;          /* another one is to follow */
    ReloadKind kind;     /* … of this kind, for this reason */
    char reason[256];
    char last_failure[4096]; /* of a reload; empty when the last one was well */
    HostEval *evals;
    FileWatch *files;  /* NULL: they are not watched */
    const char *polls; /* why they are only looked at, once that was told */
    HostAsked *change; /* who waits for its coming or going */
    bool removing;     /* it is to go */
    int64_t remove_due_ms;
    bool started;
    bool has_ended; /* its last work was run here: nothing that is still posted points at it */
    LogLimit slow, holds, loses, spills, drops, breaks; /* lines about it */
    char slow_label[96];                                /* what the limit `slow` is about */
    uint64_t told_drops, told_breaks;                   /* how many were told */
} HostApp;

/*     NEW ─host_start─► RUNNING ─host_stop─► STOPPING ─all apps ended─► CLOSING ─connection closed─► ENDED
 *                                               └─ time limit: the apps that are left are left behind ─┘        */
typedef enum { HOST_NEW, HOST_RUNNING, HOST_STOPPING, HOST_CLOSING, HOST_ENDED } HostState;

struct Host {
    Loop *loop;
    Log *log;
    HostSink sink;
    HostState state;
    Client *client;
    Router *router;
    HostApp **apps; /* by number; each stays where it is, since its thread points at it */
    int app_count;
    HostAnswer *answers; /* one for each request that is not answered yet */
    HostAnswer *owed;    /* there was no memory for their answers */
    HostAsked *asked;    /* that were not answered yet */
    LoopSoon answer;
    bool watches_files;
    uint64_t last_eval;
    int pressing; /* apps under pressure */
    bool clean;   /* no app was left behind */
    int64_t paused_since_ms;
    unsigned connection; /* of the events that come now */
    int64_t wall_ms;     /* of this turn's first event; 0: none yet */
    Buffer name;         /* of an event whose name has escapes */
    int64_t stop_ms;     /* the longest of the apps' limits */
    LoopTurn turn;
    LoopTimer watch, limit, patience;
    LoopSoon finish;
    const char *signal; /* that began the stop */
    int64_t signal_ms;  /* when */
    void (*hangup)(void *context);
    void *hangup_context;
    HostStats stats;
    Control *control; /* NULL: none */
};

/* host_port.c: what an app asks for, from its thread to ours. */
AppPort host_port(HostApp *app);
void host_reply(void *context, const SessionReply *reply); /* of a ClientSink */
bool host_pay_answers(Host *host);                         /* those that are owed; false: there is no memory yet */
void host_free_answers(HostAnswer *stock);

/* host_pressure.c: inboxes that are full, handlers that do not return. */
void host_pushed(void *context, int number); /* of router_flush */
void host_relieved(HostApp *app);
void host_watch(void *context);           /* of the timer */
void host_out_of_patience(void *context); /* of the timer */
void host_arm_watch(Host *host);
void host_release_all(Host *host);
void host_stop_pressing(HostApp *app); /* it has no say any more */

/* host_apps.c: apps that come and go while the host runs. */
void host_let_go(HostApp *app); /* it has ended, or never began */
void host_removed(HostApp *app);
void host_look_at_launch(HostApp *app);
void host_look_at_removal(HostApp *app, int64_t now_ms);
void host_welcome(HostApp *app); /* host.c: what others know of the connection */

/* host_files.c */
void host_watch_files_of(HostApp *app); /* anew, since it was loaded; nothing if they are not watched */
void host_stop_watching_files(HostApp *app);

/* host_reload.c: the next generation. */
void host_app_news(HostApp *app);
void host_want_reload(HostApp *app, ReloadKind kind, const char *reason); /* nobody waits for it */
void host_reloads_end(HostApp *app);                                      /* it has ended: who still waits is told */
void host_answer_asked(void *context);                                    /* of Host.answer */
void host_asked_free(HostAsked *asked);

/* host_eval.c */
void host_evaluated(HostApp *app, uint64_t token, bool ok, Slice text);
void host_evals_end(HostApp *app); /* the same */

/* host_counters.c: what was counted, into the log. */
void host_tell_counters(const Host *host);

/* control.c */
void control_notice(Control *control,
                    const SessionNotice *notice);    /* keeps why the connection is not there; NULL is fine */
void control_app_gone(Control *control, int number); /* who looks at it is told; NULL is fine */
void control_free(Control *control);                 /* NULL is fine */

/* host.c */
void host_app_ended(HostApp *app);
void host_look_at_end(Host *host); /* an app is gone: was it the last one that the stop waits for? */

#endif
