/* Texts, answers, and the memory of a call. */
#include "memory.h"
#include "stagewire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void **owned;
static size_t owned_count, owned_room;

void sw_own(void *block) {
    if (block == NULL) return;
    if (owned_count == owned_room) {
        owned_room = owned_room ? owned_room * 2 : 32;
        owned = realloc(owned, owned_room * sizeof *owned);
        if (owned == NULL) abort();
    }
    owned[owned_count++] = block;
}

void sw_forget(void) {
    while (owned_count > 0) free(owned[--owned_count]);
}

void sw_keep_memory(void) {
    owned_count = 0;
}

void *sw_memory(size_t size) {
    void *block = malloc(size ? size : 1);
    if (block == NULL) abort();
    sw_own(block);
    return block;
}

bool sw_equal(sw_text a, sw_text b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

bool sw_starts_with(sw_text text, sw_text prefix) {
    return text.length >= prefix.length && (prefix.length == 0 || memcmp(text.at, prefix.at, prefix.length) == 0);
}

sw_text sw_format(const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = sw_memory(length < 0 ? 1 : (size_t)length + 1);
    if (length >= 0) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return (sw_text){text, length < 0 ? 0 : (size_t)length};
}

sw_value sw_text_value(sw_text text) {
    return (sw_value){.kind = SW_TEXT, .text = text};
}

sw_value sw_integer_value(int32_t integer) {
    return (sw_value){.kind = SW_INTEGER, .integer = integer};
}

sw_value sw_boolean_value(bool boolean) {
    return (sw_value){.kind = SW_BOOLEAN, .boolean = boolean};
}

sw_answer sw_keep(void) {
    return (sw_answer){.kind = SW_KEEP};
}

sw_answer sw_done(void) {
    return sw_keep();
}

sw_answer sw_drop(sw_text reason) {
    return (sw_answer){SW_DROP, reason};
}

sw_answer sw_permanent(sw_text reason) {
    return (sw_answer){SW_PERMANENT, reason};
}

sw_answer sw_transient(sw_text reason) {
    return (sw_answer){SW_TRANSIENT, reason};
}
