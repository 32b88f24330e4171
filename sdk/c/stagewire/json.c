/* JSON without a tree: values are spans of the text, which is checked once (RFC 8259). */
#include "stagewire.h"

#include <stdlib.h>
#include <string.h>

/* Deeper nesting is refused: each level is a call. */
enum { DEEPEST = 128 };

typedef struct {
    const char *at, *end;
} reader;

static void blanks(reader *in) {
    while (in->at < in->end && strchr(" \t\r\n", *in->at) && *in->at) in->at++;
}

static bool taken(reader *in, char wanted) {
    if (in->at == in->end || *in->at != wanted) return false;
    in->at++;
    return true;
}

static bool digits(reader *in) {
    const char *begin = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') in->at++;
    return in->at > begin;
}

static bool number(reader *in) {
    taken(in, '-');
    if (!taken(in, '0') && !digits(in)) return false;
    if (taken(in, '.') && !digits(in)) return false;
    if (taken(in, 'e') || taken(in, 'E')) {
        if (!taken(in, '+')) taken(in, '-');
        return digits(in);
    }
    return true;
}

static int hex(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
    return -1;
}

static bool string(reader *in) {
    if (!taken(in, '"')) return false;
    while (in->at < in->end) {
        char letter = *in->at++;
        if (letter == '"') return true;
        if ((unsigned char)letter < 0x20) return false;
        if (letter != '\\') continue;
        if (in->at == in->end) return false;
        letter = *in->at++;
        if (letter == 'u') {
            for (int left = 4; left > 0; left--) {
                if (in->at == in->end || hex(*in->at++) < 0) return false;
            }
        } else if (letter == '\0' || !strchr("\"\\/bfnrt", letter)) {
            return false;
        }
    }
    return false;
}

static bool word(reader *in, const char *wanted) {
    size_t length = strlen(wanted);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, wanted, length) != 0) return false;
    in->at += length;
    return true;
}

static bool value(reader *in, int depth);

static bool items(reader *in, int depth, char close, bool named) {
    blanks(in);
    if (taken(in, close)) return true;
    do {
        blanks(in);
        if (named) {
            if (!string(in)) return false;
            blanks(in);
            if (!taken(in, ':')) return false;
        }
        if (!value(in, depth)) return false;
        blanks(in);
    } while (taken(in, ','));
    return taken(in, close);
}

static bool value(reader *in, int depth) {
    blanks(in);
    if (in->at == in->end || depth == 0) return false;
    switch (*in->at) {
        case '{': in->at++; return items(in, depth - 1, '}', true);
        case '[': in->at++; return items(in, depth - 1, ']', false);
        case '"': return string(in);
        case 't': return word(in, "true");
        case 'f': return word(in, "false");
        case 'n': return word(in, "null");
        default: return number(in);
    }
}

bool sw_json_read(sw_text text, sw_json *found) {
    reader in = {text.at, text.at + text.length};
    blanks(&in);
    const char *begin = in.at;
    if (!value(&in, DEEPEST)) return false;
    *found = (sw_json){begin, (size_t)(in.at - begin)};
    blanks(&in);
    return in.at == in.end;
}

enum sw_json_kind sw_json_kind(sw_json value) {
    switch (value.length ? *value.at : 'n') {
        case '{': return SW_JSON_OBJECT;
        case '[': return SW_JSON_ARRAY;
        case '"': return SW_JSON_STRING;
        case 't':
        case 'f': return SW_JSON_BOOLEAN;
        case 'n': return SW_JSON_NULL;
        default: return SW_JSON_NUMBER;
    }
}

bool sw_json_next(sw_json container, size_t *cursor, sw_json *key, sw_json *item) {
    enum sw_json_kind kind = sw_json_kind(container);
    if (kind != SW_JSON_OBJECT && kind != SW_JSON_ARRAY) return false;
    reader in = {container.at + (*cursor ? *cursor : 1), container.at + container.length};
    blanks(&in);
    if (in.at == in.end || *in.at == ']' || *in.at == '}') return false;
    *key = (sw_json){in.at, 0};
    if (kind == SW_JSON_OBJECT) {
        string(&in);
        key->length = (size_t)(in.at - key->at);
        blanks(&in);
        taken(&in, ':');
        blanks(&in);
    }
    item->at = in.at;
    value(&in, DEEPEST);
    item->length = (size_t)(in.at - item->at);
    blanks(&in);
    taken(&in, ',');
    *cursor = (size_t)(in.at - container.at);
    return true;
}

bool sw_json_member(sw_json object, const char *key, sw_json *item) {
    sw_json name, found;
    size_t cursor = 0;
    bool there = false;
    while (sw_json_kind(object) == SW_JSON_OBJECT && sw_json_next(object, &cursor, &name, &found)) {
        if (sw_json_is(name, (sw_text){key, strlen(key)})) {
            *item = found;
            there = true;
        }
    }
    return there;
}

bool sw_json_is(sw_json string, sw_text text) {
    sw_text found;
    if (sw_json_kind(string) != SW_JSON_STRING) return false;
    if (memchr(string.at, '\\', string.length) == NULL) {
        return sw_equal((sw_text){string.at + 1, string.length - 2}, text);
    }
    return sw_json_text(string, &found) && sw_equal(found, text);
}

static unsigned unit(const char *digits) {
    unsigned value = 0;
    for (int index = 0; index < 4; index++) value = value << 4 | (unsigned)hex(digits[index]);
    return value;
}

/* One character as UTF-8; how many bytes. */
static size_t encoded(unsigned character, char *out) {
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        out[0] = (char)(0xc0 | character >> 6);
        out[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        out[0] = (char)(0xe0 | character >> 12);
        out[1] = (char)(0x80 | (character >> 6 & 0x3f));
        out[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | character >> 18);
    out[1] = (char)(0x80 | (character >> 12 & 0x3f));
    out[2] = (char)(0x80 | (character >> 6 & 0x3f));
    out[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}

/* The character of an escape `\uXXXX`, which may be half of a pair; where the reading goes on. */
static const char *escaped(const char *at, const char *end, unsigned *character) {
    *character = unit(at);
    at += 4;
    if (*character >= 0xd800 && *character < 0xdc00 && end - at > 6 && at[0] == '\\' && at[1] == 'u') {
        unsigned low = unit(at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *character = 0x10000 + ((*character - 0xd800) << 10) + (low - 0xdc00);
            return at + 6;
        }
    }
    if (*character >= 0xd800 && *character < 0xe000) *character = 0xfffd;
    return at;
}

bool sw_json_text(sw_json value, sw_text *text) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (sw_json_kind(value) != SW_JSON_STRING) return false;
    const char *at = value.at + 1, *end = value.at + value.length - 1;
    char *out = sw_memory(value.length);
    size_t length = 0;
    while (at < end) {
        if (*at != '\\') {
            out[length++] = *at++;
        } else if (at[1] == 'u') {
            unsigned character;
            at = escaped(at + 2, value.at + value.length, &character);
            length += encoded(character, out + length);
        } else {
            out[length++] = to[strchr(from, at[1]) - from];
            at += 2;
        }
    }
    *text = (sw_text){out, length};
    return true;
}

bool sw_json_integer(sw_json value, int64_t *integer) {
    char digits[24], *end;
    if (sw_json_kind(value) != SW_JSON_NUMBER || value.length >= sizeof digits - 4) return false;
    memcpy(digits, value.at, value.length);
    digits[value.length] = '\0';
    *integer = strtoll(digits, &end, 10);
    return *end == '\0';
}

bool sw_json_boolean(sw_json value, bool *boolean) {
    if (sw_json_kind(value) != SW_JSON_BOOLEAN) return false;
    *boolean = *value.at == 't';
    return true;
}
