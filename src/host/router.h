/* router.h - event name -> the apps that subscribed. For the I/O thread.
 *
 * Exact names are in a hash, prefixes ("session.*", "*") in a list. What a turn of the loop brings an app is collected in its
 * tray and pushed into its inbox at once at the end of the turn: one lock and one wake-up for all of it, in order.
 * An event that nobody wants costs one look-up and is neither copied nor parsed. */
#ifndef GATEHOUSE_HOST_ROUTER_H
#define GATEHOUSE_HOST_ROUTER_H

#include "app/inbox.h"

typedef struct Router Router;

#define ROUTER_MAX_APPS 65535

/* NULL without memory. */
Router *router_new(void);
void router_free(Router *router); /* drops what is still in the trays */

/* A new road to `inbox` (borrowed); returns its number, 0, 1, 2, …; -1 without memory. */
int router_add(Router *router, Inbox *inbox);

/* The app is gone: what its handlers wanted is forgotten, and what is pushed for it from now on is dropped. Its number is not used again. */
void router_remove(Router *router, int number);

/* One more (one fewer) handler of the app `number` wants events of `pattern`. False without memory. */
bool router_subscribe(Router *router, int number, Slice pattern, bool wanted);

/* Calls `each` with every pattern that the app wants, in no order. */
void router_patterns(const Router *router, int number, void (*each)(void *context, Slice pattern), void *context);

/* Puts the event into the tray of each app that subscribed; returns to how many, 0: it was not even copied.
 * -1 without memory: then some of them do not get it. */
int router_event(Router *router, const EventFields *event);

/* A shut road gets no events (what else is pushed still goes): they are counted here and lost to this app. */
void router_shut(Router *router, int number, bool shut);

typedef struct {
    uint64_t count;              /* events */
    int64_t first_seq, last_seq; /* of those with a number; -1 if none had one */
} RouterWithheld;

/* What the shut road has kept from the app since it was last forgotten. */
RouterWithheld router_withheld(const Router *router, int number);
void router_forget_withheld(Router *router, int number);

/* `seen` is called for every event (of the gateway or of the host itself) that is put into the tray of an app which is observed;
 * it may not call the router. NULL: no more. */
void router_on_seen(Router *router, void (*seen)(void *context, int number, const Message *event), void *context);
void router_observe(Router *router, int number, bool observed);

/* Puts a message into one tray; takes the reference. False without memory: the message is gone. NULL is such a failure too. */
bool router_push(Router *router, int number, Message *message);
/* Into all of them; takes the reference. */
bool router_push_all(Router *router, Message *message);

/* Empties the trays into the inboxes and calls `pushed` for each app that got something. Returns how many messages were lost
 * for want of memory. Those that end a request are not: they stay for the next flush. */
size_t router_flush(Router *router, void (*pushed)(void *context, int number), void *context);

/* Whether something stayed. */
bool router_waits(const Router *router);

#endif
