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

/* Data that is longer than the whole memory. */
static void lie(const sw_event *event, sw_emitter *out) {
    sw_text data = {sw_memory(16), 0x7fffffff};
    sw_set_data(sw_edit(out, event), data);
}

/* A hundred names, and all of them the same megabyte. */
static void say_the_same(sw_emitter *out) {
    static sw_named all[100];
    sw_text name = {sw_memory(1 << 20), 1 << 20}, refusal;
    memset((char *)name.at, 'x', name.length);
    for (int index = 0; index < 100; index++) all[index].name = name, all[index].value.kind = SW_BOOLEAN;
    sw_new_event event = {SW("1"), SW("s"), SW("t"), {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, all, 100, {NULL, 0}};
    sw_emit(out, &event, &refusal);
}

/* What follows the last dot of the type. */
static sw_text misdeed(sw_text type) {
    for (size_t at = type.length; at > 0; at--) {
        if (type.at[at - 1] == '.') return (sw_text){type.at + at, type.length - at};
    }
    return type;
}

sw_answer sw_transform(const sw_event *event, sw_emitter *out) {
    sw_text type = misdeed(sw_type(event));
    if (sw_equal(type, SW("loop"))) loop();
    if (sw_equal(type, SW("bomb"))) bomb();
    if (sw_equal(type, SW("deep")) && descend(UINT64_MAX) == 1) return sw_drop(SW("reached the ground"));
    if (sw_equal(type, SW("trap"))) __builtin_trap();
    if (sw_equal(type, SW("bytes"))) bytes(event, out);
    if (sw_equal(type, SW("lies"))) lie(event, out);
    if (sw_equal(type, SW("same"))) say_the_same(out);
    if (sw_equal(type, SW("flood"))) flood();
    sw_pass(out, event);
    return sw_done();
}
