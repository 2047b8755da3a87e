/* session_table.h - the session's requests as a table: three lists, two indexes, one heap of deadlines. It knows where a
 * request is and what is kept for it, not what becomes of it. For the files of the session alone. */
#ifndef GATEHOUSE_PROTOCOL_SESSION_TABLE_H
#define GATEHOUSE_PROTOCOL_SESSION_TABLE_H

#include "protocol/buffer.h"
#include "protocol/hash.h"
#include "protocol/heap.h"

#define SESSION_ID_SIZE 37 /* a UUID and a zero byte */
#define SESSION_RECENT 512 /* ids of ended requests whose answer may still come */

/* A request between session_request and its last reply. It is in one of three lists. */
typedef struct PendingList PendingList;
typedef struct Pending Pending;
struct Pending {
    Pending *previous, *next;
    PendingList *list;
    HashNode by_id, by_token;
    HeapNode deadline;     /* the earlier of the two below, as far as it applies */
    int64_t give_up_ms;    /* then TIMEOUT */
    int64_t connect_by_ms; /* then NOT_CONNECTED, unless ready; HEAP_NEVER if it does not apply */
    uint64_t token;
    unsigned owner;
    Buffer frame; /* the request as it goes out; after that kept only to be sent again */
    char id[SESSION_ID_SIZE];
    bool final, resend;
    bool sent;     /* the gateway may have seen it, on this connection or an earlier one */
    bool accepted; /* final: the first of two responses came on this connection; holds no slot any more */
    bool told;     /* final: the caller has got a first response */
};

struct PendingList {
    Pending *first, *last;
};

/*     session_request ──► line ──(a slot is free)──► flight ──(response)──► ended
 *                           ▲                           │
 *                           └──(disconnect, resend)─────┤
 *                                                       └──(disconnect, stop)──► doomed ──► ended */
typedef struct {
    PendingList line, flight, doomed;
    size_t line_count, flight_count, doomed_count;
    size_t accepted_count; /* of those in flight */
    size_t kept_bytes;     /* of all frames in the lists */
    HashIndex by_id, by_token;
    Heap deadlines;
    Pending *spare; /* freed ones, linked by next */
    size_t spare_count;
    struct {
        uint64_t id_hash; /* 0: free */
        bool second;      /* its first response ended it, a second one is to be expected */
    } recent[SESSION_RECENT];
    size_t recent_next;
} Requests;

size_t requests_count(const Requests *requests); /* in all three lists */
void requests_free(Requests *requests);          /* of an empty table: what it has kept for the next requests */

/* One that is in no list yet, all zero; NULL without memory. */
Pending *requests_new_pending(Requests *requests);
void requests_free_pending(Requests *requests, Pending *pending); /* in no list; with its frame */

/* At the end of the line, to be found from now on. False without memory: nothing has changed then. */
bool requests_enter(Requests *requests, Pending *pending, int64_t due_ms);
void requests_leave(Requests *requests, Pending *pending);

/* From list to list. A frame changes only while its request is in none: the kept bytes are counted by it. */
void requests_unlink(Requests *requests, Pending *pending);
void requests_append(Requests *requests, PendingList *list, Pending *pending);
void requests_prepend(Requests *requests, PendingList *list, Pending *pending);

/* NULL if there is none. */
Pending *requests_find(const Requests *requests, unsigned owner, uint64_t token);
Pending *requests_find_in_flight(const Requests *requests, Slice id, uint64_t id_hash);

/* That an answer to it may still come, the second of two or a late one. The oldest of those remembered is forgotten. */
void requests_remember(Requests *requests, const Pending *pending, bool second);

#endif
