/* router.c - a hash of exact names, a list of prefixes, and a tray for each app.
 *
 * A pattern knows how many handlers of each app want it; at zero of all apps it is gone. An app that several patterns lead to
 * gets an event once: its tray's last message is that event already. */
#include "host/router.h"

#include "protocol/hash.h"
#include "protocol/heap.h"

#include <stdlib.h>

typedef struct {
    int number;      /* of the app */
    unsigned wanted; /* handlers */
} Subscriber;

typedef struct Pattern Pattern;
struct Pattern {
    HashNode node; /* exact names */
    Pattern *next; /* prefixes */
    Subscriber *subscribers;
    size_t count, capacity;
    size_t size; /* of what has to be equal: the text without the star of a prefix */
    size_t text_size;
    char text[];
};

typedef struct {
    Inbox *inbox;
    Message **messages;
    size_t count, capacity;
    bool shut;
    bool observed;
    uint64_t passed; /* number of the event that was last withheld, so that two patterns do not count it twice */
    RouterWithheld withheld;
} Tray;

struct Router {
    HashIndex exact;
    Pattern *prefixes;
    Tray *trays;
    int tray_count;
    int *filled; /* numbers of the trays that are not empty, in the order in which they got their first message */
    int filled_count;
    size_t lost; /* since the last flush */
    uint64_t events;
    void (*seen)(void *context, int number, const Message *event);
    void *seen_context;
};

Router *router_new(void)
{
    return calloc(1, sizeof(Router));
}

static void pattern_free(Pattern *pattern)
{
    free(pattern->subscribers);
    free(pattern);
}

static void empty_tray(Tray *tray)
{
    for (size_t i = 0; i < tray->count; i++) {
        message_unref(tray->messages[i]);
    }
    tray->count = 0;
}

void router_free(Router *router)
{
    if (!router) return;
    for (int i = 0; i < router->tray_count; i++) {
        empty_tray(&router->trays[i]);
        free(router->trays[i].messages);
    }
    for (size_t i = 0; i < router->exact.capacity; i++) {
        for (HashNode *node = router->exact.buckets[i], *next; node; node = next) {
            next = node->next;
            pattern_free(HEAP_OWNER(node, Pattern, node));
        }
    }
    for (Pattern *prefix = router->prefixes, *next; prefix; prefix = next) {
        next = prefix->next;
        pattern_free(prefix);
    }
    hash_free(&router->exact);
    free(router->trays);
    free(router->filled);
    free(router);
}

int router_add(Router *router, Inbox *inbox)
{
    size_t count = (size_t)router->tray_count + 1;

    if (count > ROUTER_MAX_APPS) return -1;
    Tray *trays = realloc(router->trays, count * sizeof *trays);
    if (trays) router->trays = trays;
    int *filled = realloc(router->filled, count * sizeof *filled);
    if (filled) router->filled = filled;
    if (!trays || !filled) return -1;
    trays[router->tray_count] = (Tray){.inbox = inbox, .withheld = {.first_seq = -1, .last_seq = -1}};
    return router->tray_count++;
}

/* --- patterns ------------------------------------------------------------------------------------------------------------ */

static Pattern *find_exact(const Router *router, Slice name, uint64_t hash)
{
    for (HashNode *node = hash_first(&router->exact, hash); node; node = hash_next(node)) {
        Pattern *pattern = HEAP_OWNER(node, Pattern, node);
        if (slice_equals(slice_make(pattern->text, pattern->size), name)) return pattern;
    }
    return NULL;
}

/* What points at the prefix, or at the end of the list. */
static Pattern **find_prefix(Router *router, Slice prefix)
{
    Pattern **place = &router->prefixes;

    while (*place && !slice_equals(slice_make((*place)->text, (*place)->size), prefix)) {
        place = &(*place)->next;
    }
    return place;
}

static Pattern *pattern_new(Slice text, size_t size)
{
    Pattern *pattern = calloc(1, sizeof *pattern + text.size);
    if (!pattern) return NULL;
    pattern->size = size;
    pattern->text_size = text.size;
    if (text.size > 0) memcpy(pattern->text, text.data, text.size);
    return pattern;
}

/* False without memory. */
static bool change(Pattern *pattern, int number, bool wanted)
{
    size_t i = 0;

    while (i < pattern->count && pattern->subscribers[i].number != number) {
        i++;
    }
    if (i < pattern->count) {
        Subscriber *subscriber = &pattern->subscribers[i];
        subscriber->wanted += wanted ? 1 : -1u;
        if (subscriber->wanted == 0) *subscriber = pattern->subscribers[--pattern->count];
        return true;
    }
    if (!wanted) return true;
    if (pattern->count == pattern->capacity) {
        size_t capacity = pattern->capacity ? pattern->capacity * 2 : 2;
        Subscriber *subscribers = realloc(pattern->subscribers, capacity * sizeof *subscribers);
        if (!subscribers) return false;
        pattern->subscribers = subscribers;
        pattern->capacity = capacity;
    }
    pattern->subscribers[pattern->count++] = (Subscriber){.number = number, .wanted = 1};
    return true;
}

static bool subscribe_prefix(Router *router, int number, Slice text, bool wanted)
{
    Pattern **place = find_prefix(router, slice_make(text.data, text.size - 1));

    if (!*place && wanted) *place = pattern_new(text, text.size - 1);
    if (!*place) return !wanted;
    bool changed = change(*place, number, wanted);
    if ((*place)->count == 0) {
        Pattern *gone = *place;
        *place = gone->next;
        pattern_free(gone);
    }
    return changed;
}

static bool subscribe_exact(Router *router, int number, Slice name, bool wanted)
{
    uint64_t hash = hash_of_slice(name);
    Pattern *pattern = find_exact(router, name, hash);

    if (!pattern && wanted) {
        pattern = pattern_new(name, name.size);
        if (pattern && !hash_add(&router->exact, &pattern->node, hash)) {
            pattern_free(pattern);
            pattern = NULL;
        }
    }
    if (!pattern) return !wanted;
    bool changed = change(pattern, number, wanted);
    if (pattern->count == 0) {
        hash_remove(&router->exact, &pattern->node);
        pattern_free(pattern);
    }
    return changed;
}

bool router_subscribe(Router *router, int number, Slice pattern, bool wanted)
{
    if (pattern.size > 0 && pattern.data[pattern.size - 1] == '*') {
        return subscribe_prefix(router, number, pattern, wanted);
    }
    return subscribe_exact(router, number, pattern, wanted);
}

static void forget(Pattern *pattern, int number)
{
    for (size_t i = 0; i < pattern->count; i++) {
        if (pattern->subscribers[i].number == number)
            pattern->subscribers[i--] = pattern->subscribers[--pattern->count];
    }
}

/* What is left of a pattern that nobody wants any more costs a look-up; it goes when it is wanted and not wanted again. */
void router_remove(Router *router, int number)
{
    for (size_t i = 0; i < router->exact.capacity; i++) {
        for (HashNode *node = router->exact.buckets[i]; node; node = node->next) {
            forget(HEAP_OWNER(node, Pattern, node), number);
        }
    }
    for (Pattern *prefix = router->prefixes; prefix; prefix = prefix->next) {
        forget(prefix, number);
    }
    empty_tray(&router->trays[number]);
    router->trays[number].inbox = NULL;
}

static bool is_wanted_by(const Pattern *pattern, int number)
{
    for (size_t i = 0; i < pattern->count; i++) {
        if (pattern->subscribers[i].number == number) return true;
    }
    return false;
}

void router_patterns(const Router *router, int number, void (*each)(void *context, Slice pattern), void *context)
{
    for (size_t i = 0; i < router->exact.capacity; i++) {
        for (HashNode *node = router->exact.buckets[i]; node; node = node->next) {
            const Pattern *pattern = HEAP_OWNER(node, Pattern, node);
            if (is_wanted_by(pattern, number)) each(context, slice_make(pattern->text, pattern->text_size));
        }
    }
    for (const Pattern *prefix = router->prefixes; prefix; prefix = prefix->next) {
        if (is_wanted_by(prefix, number)) each(context, slice_make(prefix->text, prefix->text_size));
    }
}

static bool matches(const Pattern *prefix, Slice name)
{
    /* Prefixes are for events of the gateway; what the host itself says is asked for by its full name. */
    if (name.size < prefix->size || (name.size > 0 && name.data[0] == '@')) return false;
    return memcmp(name.data, prefix->text, prefix->size) == 0;
}

/* --- trays ---------------------------------------------------------------------------------------------------------------- */

/* Takes the reference. */
static bool tray_put(Router *router, int number, Message *message)
{
    Tray *tray = &router->trays[number];

    if (!tray->inbox) { /* it is gone, and so is who would miss the message */
        message_unref(message);
        return true;
    }
    if (tray->count == tray->capacity) {
        size_t capacity = tray->capacity ? tray->capacity * 2 : 16;
        Message **messages = realloc(tray->messages, capacity * sizeof *messages);
        if (!messages) {
            message_unref(message);
            router->lost++;
            return false;
        }
        tray->messages = messages;
        tray->capacity = capacity;
    }
    if (tray->count == 0) router->filled[router->filled_count++] = number;
    tray->messages[tray->count++] = message;
    if (tray->observed && router->seen && message->kind == MESSAGE_EVENT)
        router->seen(router->seen_context, number, message);
    return true;
}

typedef struct {
    const EventFields *event;
    Message *message; /* made for the first who wants it */
    int delivered;    /* -1: there was no memory */
} Delivery;

static void withhold(Tray *tray, const EventFields *event, uint64_t number)
{
    if (tray->passed == number) return;
    tray->passed = number;
    tray->withheld.count++;
    if (event->seq < 0) return;
    if (tray->withheld.first_seq < 0) tray->withheld.first_seq = event->seq;
    tray->withheld.last_seq = event->seq;
}

static void deliver(Router *router, const Pattern *pattern, Delivery *delivery)
{
    for (size_t i = 0; i < pattern->count && delivery->delivered >= 0; i++) {
        Tray *tray = &router->trays[pattern->subscribers[i].number];
        if (tray->shut && delivery->event->name.data[0] != '@') {
            withhold(tray, delivery->event, router->events);
            continue;
        }
        if (!delivery->message) delivery->message = message_event(delivery->event);
        if (!delivery->message) {
            router->lost++;
            delivery->delivered = -1;
            return;
        }
        if (tray->count > 0 && tray->messages[tray->count - 1] == delivery->message) continue; /* by another pattern */
        bool put = tray_put(router, pattern->subscribers[i].number, message_ref(delivery->message));
        delivery->delivered = put ? delivery->delivered + 1 : -1;
    }
}

int router_event(Router *router, const EventFields *event)
{
    Delivery delivery = {.event = event};
    router->events++;
    const Pattern *exact = find_exact(router, event->name, hash_of_slice(event->name));

    if (exact) deliver(router, exact, &delivery);
    for (const Pattern *prefix = router->prefixes; prefix; prefix = prefix->next) {
        if (matches(prefix, event->name)) deliver(router, prefix, &delivery);
    }
    message_unref(delivery.message);
    return delivery.delivered;
}

void router_shut(Router *router, int number, bool shut)
{
    router->trays[number].shut = shut;
}

RouterWithheld router_withheld(const Router *router, int number)
{
    return router->trays[number].withheld;
}

void router_forget_withheld(Router *router, int number)
{
    router->trays[number].withheld = (RouterWithheld){.first_seq = -1, .last_seq = -1};
}

void router_on_seen(Router *router, void (*seen)(void *context, int number, const Message *event), void *context)
{
    router->seen = seen;
    router->seen_context = context;
}

void router_observe(Router *router, int number, bool observed)
{
    router->trays[number].observed = observed;
}

bool router_push(Router *router, int number, Message *message)
{
    if (message) return tray_put(router, number, message);
    router->lost++;
    return false;
}

bool router_push_all(Router *router, Message *message)
{
    bool pushed = true;

    for (int i = 0; i < router->tray_count; i++) {
        pushed = router_push(router, i, message ? message_ref(message) : NULL) && pushed;
    }
    message_unref(message);
    return pushed;
}

/* Only the ends of requests stay. Returns how many messages are gone. */
static size_t thin_out(Tray *tray)
{
    size_t kept = 0, gone = 0;

    for (size_t i = 0; i < tray->count; i++) {
        Message *message = tray->messages[i];
        if (message->kind == MESSAGE_RESPONSE && message->last) {
            tray->messages[kept++] = message;
        } else {
            message_unref(message);
            gone++;
        }
    }
    tray->count = kept;
    return gone;
}

size_t router_flush(Router *router, void (*pushed)(void *context, int number), void *context)
{
    int kept = 0;

    for (int i = 0; i < router->filled_count; i++) {
        int number = router->filled[i];
        Tray *tray = &router->trays[number];
        if (!tray->inbox) continue;
        if (inbox_push(tray->inbox, tray->messages, tray->count)) {
            tray->count = 0;
            pushed(context, number);
        } else {
            router->lost += thin_out(tray);
            if (tray->count > 0) router->filled[kept++] = number;
        }
    }
    router->filled_count = kept;
    size_t lost = router->lost;
    router->lost = 0;
    return lost;
}

bool router_waits(const Router *router)
{
    return router->filled_count > 0;
}
