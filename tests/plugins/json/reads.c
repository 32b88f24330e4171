/* Reads texts, each behind its length in four bytes, and answers for each `1` where it is JSON and `0` where it is not. What is
 * JSON is walked through to its end. */
#include "memory.h"
#include "stagewire.h"

#include <stdio.h>
#include <stdlib.h>

bool sw_configure(sw_json settings, sw_text *refusal) {
    (void)settings, (void)refusal;
    return true;
}

static void walk(sw_json value) {
    sw_json key, item;
    sw_text text;
    int64_t integer;
    bool boolean;
    size_t cursor = 0;
    sw_json_text(value, &text), sw_json_integer(value, &integer), sw_json_boolean(value, &boolean);
    while (sw_json_next(value, &cursor, &key, &item)) {
        if (key.length > 0) sw_json_text(key, &text);
        walk(item);
    }
}

int main(void) {
    uint32_t length;
    while (fread(&length, sizeof length, 1, stdin) == 1) {
        /* Exactly as long as the text, so that a sanitizer sees each byte that is read too far. */
        char *text = malloc(length);
        sw_json value;
        if (fread(text, 1, length, stdin) != length) return 1;
        bool good = sw_json_read((sw_text){text, length}, &value);
        if (good) walk(value);
        putchar(good ? '1' : '0');
        sw_forget();
        free(text);
    }
}
