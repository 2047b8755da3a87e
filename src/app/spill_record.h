/* spill_record.h - a message as bytes, for the process that wrote them: in the machine's own byte order, with a
 * checksum. */
#ifndef GATEHOUSE_APP_SPILL_RECORD_H
#define GATEHOUSE_APP_SPILL_RECORD_H

#include "app/message.h"
#include "protocol/buffer.h"

/* Of any message, in bytes. */
size_t spill_record_size(const Message *message);

/* Appends it; without memory `out` has failed. */
void spill_record_append(const Message *message, Buffer *out);

typedef enum {
    SPILL_RECORD_READ,     /* `*message` is it, with a reference for the caller */
    SPILL_RECORD_CUT,      /* there are more bytes to it, if it is one */
    SPILL_RECORD_BROKEN,   /* it is none */
    SPILL_RECORD_NO_MEMORY /* for the message; try again */
} SpillRecordResult;

/* The record at the start of `bytes`. `*record_bytes` is what it takes; CUT: how many are needed to go on. */
SpillRecordResult spill_record_read(Slice bytes, size_t *record_bytes, Message **message);

#endif
