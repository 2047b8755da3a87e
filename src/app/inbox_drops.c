/* inbox_drops.c - see inbox_drops.h. */
#include "app/inbox_drops.h"
#include "app/inbox_private.h"

#include <stdlib.h>

static size_t count_names(const char *names)
{
    size_t count = 0;
    for (; names && *names; names += strspn(names, ",")) {
        names += strcspn(names, ",");
        count++;
    }
    return count;
}

static void read_names(Drops *drops, const char *names, bool newest)
{
    for (; names && *names; names += strspn(names, ",")) {
        Slice text = slice_make(names, strcspn(names, ","));
        names += text.size;
        bool prefix = text.size > 0 && text.data[text.size - 1] == '*';
        if (prefix) text.size--;
        drops->each[drops->count++] = (Drop){.text = text, .prefix = prefix, .newest = newest};
    }
}

bool drops_set(Drops *drops, const InboxOverflow *policy)
{
    const char *names[2] = {policy->drop_newest, policy->drop_oldest};
    size_t count = count_names(names[0]) + count_names(names[1]);
    if (count == 0) return true;
    drops->each = calloc(count, sizeof *drops->each);
    if (!drops->each) return false;
    for (size_t i = 0; i < 2; i++) {
        if (!names[i]) continue;
        drops->texts[i] = strdup(names[i]);
        if (!drops->texts[i]) return false;
        read_names(drops, drops->texts[i], i == 0);
    }
    return true;
}

void drops_clear(Drops *drops)
{
    free(drops->each);
    free(drops->texts[0]);
    free(drops->texts[1]);
}

static bool is_of(const Drop *drop, const Message *message)
{
    Slice name = message->name;
    if (message->kind != MESSAGE_EVENT) return false;
    if (!drop->prefix) return slice_equals(name, drop->text);
    /* As with handlers: what the host itself says is meant only by its full name. */
    if (name.size < drop->text.size || (name.size > 0 && name.data[0] == '@')) return false;
    return memcmp(name.data, drop->text.data, drop->text.size) == 0;
}

Drop *drops_find(const Drops *drops, const Message *message)
{
    for (size_t i = 0; i < drops->count; i++)
        if (is_of(&drops->each[i], message)) return &drops->each[i];
    return NULL;
}

/* The oldest of it in the ring at which nobody has looked yet. False if there is none. */
static bool evict(Inbox *inbox, const Drops *drops, Drop *drop)
{
    uint64_t next = inbox_next_index(inbox);
    uint64_t first = inbox->peeked > next ? inbox->peeked : next;
    uint64_t index = drop->from > first ? drop->from : first;
    for (; index != inbox->tail; index++) {
        Message **slot = &inbox->ring[index & inbox->mask];
        if (!*slot || drops_find(drops, *slot) != drop) continue;
        atomic_fetch_sub(&inbox->bytes, (*slot)->size_bytes);
        atomic_fetch_sub(&inbox->count, 1);
        message_unref(*slot);
        *slot = NULL;
        drop->from = index + 1;
        return true;
    }
    drop->from = index;
    return false;
}

bool drops_older(Inbox *inbox, const Drops *drops, Drop *drop)
{
    if (evict(inbox, drops, drop)) return true;
    if (drop->spilled == drop->owed) return false;
    drop->owed++;
    return true;
}

bool drops_is_owed(const Drops *drops, const Message *message)
{
    Drop *drop = drops_find(drops, message);
    if (!drop || drop->spilled == 0) return false;
    drop->spilled--;
    if (drop->owed == 0) return false;
    drop->owed--;
    return true;
}

size_t drops_owed(const Drops *drops)
{
    size_t owed = 0;
    for (size_t i = 0; i < drops->count; i++)
        owed += drops->each[i].owed;
    return owed;
}

void drops_forget_spilled(Drops *drops)
{
    for (size_t i = 0; i < drops->count; i++)
        drops->each[i].spilled = drops->each[i].owed = 0;
}
