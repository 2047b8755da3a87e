/* session_table.c - see session_table.h. A list's counts change where a request enters or leaves it, and nowhere else. */
#include "protocol/session_table.h"

#include <stdlib.h>

#define SPARE_COUNT 256 /* freed requests kept for the next ones */

/* --- lists -------------------------------------------------------------------------------------------------------- */

static size_t *count_of(Requests *requests, const PendingList *list)
{
    if (list == &requests->line) return &requests->line_count;
    return list == &requests->flight ? &requests->flight_count : &requests->doomed_count;
}

static void account(Requests *requests, const Pending *pending, bool enters)
{
    size_t *count = count_of(requests, pending->list);
    size_t bytes = buffer_size(&pending->frame);
    *count = enters ? *count + 1 : *count - 1;
    requests->kept_bytes = enters ? requests->kept_bytes + bytes : requests->kept_bytes - bytes;
}

void requests_unlink(Requests *requests, Pending *pending)
{
    PendingList *list = pending->list;
    account(requests, pending, false);
    if (pending->accepted) requests->accepted_count--;
    pending->accepted = false;
    *(pending->previous ? &pending->previous->next : &list->first) = pending->next;
    *(pending->next ? &pending->next->previous : &list->last) = pending->previous;
    pending->previous = pending->next = NULL;
    pending->list = NULL;
}

void requests_append(Requests *requests, PendingList *list, Pending *pending)
{
    pending->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = pending;
    list->last = pending;
    pending->list = list;
    account(requests, pending, true);
}

void requests_prepend(Requests *requests, PendingList *list, Pending *pending)
{
    pending->next = list->first;
    *(list->first ? &list->first->previous : &list->last) = pending;
    list->first = pending;
    pending->list = list;
    account(requests, pending, true);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static uint64_t hash_of_name(unsigned owner, uint64_t token)
{
    return hash_of_number(token + owner);
}

Pending *requests_find(const Requests *requests, unsigned owner, uint64_t token)
{
    for (HashNode *node = hash_first(&requests->by_token, hash_of_name(owner, token)); node; node = hash_next(node)) {
        Pending *pending = HEAP_OWNER(node, Pending, by_token);
        if (pending->token == token && pending->owner == owner) return pending;
    }
    return NULL;
}

Pending *requests_find_in_flight(const Requests *requests, Slice id, uint64_t id_hash)
{
    for (HashNode *node = hash_first(&requests->by_id, id_hash); node; node = hash_next(node)) {
        Pending *pending = HEAP_OWNER(node, Pending, by_id);
        if (pending->list == &requests->flight && slice_is(id, pending->id)) return pending;
    }
    return NULL;
}

Pending *requests_new_pending(Requests *requests)
{
    Pending *pending = requests->spare;
    if (!pending) return calloc(1, sizeof *pending);
    requests->spare = pending->next;
    requests->spare_count--;
    *pending = (Pending){0};
    return pending;
}

void requests_free_pending(Requests *requests, Pending *pending)
{
    buffer_free(&pending->frame);
    if (requests->spare_count == SPARE_COUNT) {
        free(pending);
        return;
    }
    pending->next = requests->spare;
    requests->spare = pending;
    requests->spare_count++;
}

bool requests_enter(Requests *requests, Pending *pending, int64_t due_ms)
{
    uint64_t name_hash = hash_of_name(pending->owner, pending->token);
    if (!hash_add(&requests->by_id, &pending->by_id, hash_of_slice(slice_of(pending->id)))) return false;
    if (!hash_add(&requests->by_token, &pending->by_token, name_hash)) goto no_token;
    if (!heap_add(&requests->deadlines, &pending->deadline, due_ms)) goto no_deadline;
    requests_append(requests, &requests->line, pending);
    return true;
no_deadline:
    hash_remove(&requests->by_token, &pending->by_token);
no_token:
    hash_remove(&requests->by_id, &pending->by_id);
    return false;
}

void requests_leave(Requests *requests, Pending *pending)
{
    requests_unlink(requests, pending);
    hash_remove(&requests->by_id, &pending->by_id);
    hash_remove(&requests->by_token, &pending->by_token);
    heap_remove(&requests->deadlines, &pending->deadline);
}

void requests_remember(Requests *requests, const Pending *pending, bool second)
{
    size_t at = requests->recent_next;
    requests->recent[at].id_hash = pending->by_id.hash;
    requests->recent[at].second = second;
    requests->recent_next = (at + 1) % SESSION_RECENT;
}

size_t requests_count(const Requests *requests)
{
    return requests->line_count + requests->flight_count + requests->doomed_count;
}

void requests_free(Requests *requests)
{
    while (requests->spare) {
        Pending *pending = requests->spare;
        requests->spare = pending->next;
        free(pending);
    }
    hash_free(&requests->by_id);
    hash_free(&requests->by_token);
    heap_free(&requests->deadlines);
}
