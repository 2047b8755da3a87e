/* fuzz_session.c - bytes as inputs to a session: what link, gateway, caller and clock do, hostile frames included.
 * session_walk.h says what each byte means and what must hold after each input. */
#include "protocol/session.h"
#include "unit/session_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 4096) walk_run(data, size, NULL);
    return 0;
}
