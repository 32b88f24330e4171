/* Misbehaves as the event's type says. */
#include "stagewire.h"

#include <stdlib.h>
#include <string.h>

bool sw_configure(sw_json settings, sw_text *refusal) {
    (void)settings, (void)refusal;
    return true;
}

/* Neither a loop in disguise nor a user of the stack in memory: it is the call stack that must overflow. */
__attribute__((noinline)) static uint64_t descend(uint64_t depth) {
    if (depth == 0) return 0;
    uint64_t below = descend(depth - 1);
    return (below << 3 | below >> 61) ^ depth;
}

static void loop(void) {
    for (volatile unsigned round = 0;; round++) {
    }
}

static void bomb(void) {
    for (;;) {
        char *block = malloc(1 << 20);
        if (block == NULL) __builtin_trap();
        memset(block, 1, 1 << 20);
        /* Written through a volatile pointer, so that no compiler leaves it out. */
        *(volatile char *)block = 2;
    }
}

static void flood(void) {
    for (int line = 0; line < 1000; line++) sw_log(SW_INFO, sw_format("line %d", line));
}

static void bytes(const sw_event *event, sw_emitter *out) {
    sw_text data = {sw_memory(1 << 20), 1 << 20};
    memset((char *)data.at, 'x', data.length);
    for (;;) sw_set_data(sw_edit(out, event), data);
}

sw_answer sw_transform(const sw_event *event, sw_emitter *out) {
    sw_text type = sw_type(event);
    if (sw_equal(type, SW("loop"))) loop();
    if (sw_equal(type, SW("bomb"))) bomb();
    if (sw_equal(type, SW("deep")) && descend(UINT64_MAX) == 1) return sw_drop(SW("reached the ground"));
    if (sw_equal(type, SW("trap"))) __builtin_trap();
    if (sw_equal(type, SW("bytes"))) bytes(event, out);
    if (sw_equal(type, SW("flood"))) flood();
    sw_pass(out, event);
    return sw_done();
}
