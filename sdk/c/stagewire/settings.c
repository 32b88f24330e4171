/* Reading settings so that a refusal names the wrong key. */
#include "stagewire.h"

#include <string.h>

static bool refused(sw_text *refusal, sw_text reason) {
    *refusal = reason;
    return false;
}

static bool among(const char *const *known, sw_json key) {
    for (; *known; known++) {
        if (sw_json_is(key, (sw_text){*known, strlen(*known)})) return true;
    }
    return false;
}

static sw_text listed(const char *const *known) {
    sw_text list = {"", 0};
    for (bool first = true; *known; known++, first = false) {
        list = sw_format("%.*s%s`%s`", SW_ARG(list), first ? "" : ", ", *known);
    }
    return list;
}

bool sw_only(sw_json settings, const char *const *known, sw_text *refusal) {
    sw_json key, item;
    size_t cursor = 0;
    if (sw_json_kind(settings) != SW_JSON_OBJECT) return refused(refusal, SW("`settings`: an object was expected"));
    while (sw_json_next(settings, &cursor, &key, &item)) {
        if (among(known, key)) continue;
        sw_text name = {"", 0}, list = listed(known);
        sw_json_text(key, &name);
        return refused(refusal, sw_format("unknown field `%.*s`, expected %.*s", SW_ARG(name), SW_ARG(list)));
    }
    return true;
}

static bool member(sw_json settings, const char *name, sw_json *item, sw_text *refusal) {
    return sw_json_member(settings, name, item) || refused(refusal, sw_format("missing field `%s`", name));
}

bool sw_text_setting(sw_json settings, const char *name, sw_text *value, sw_text *refusal) {
    sw_json item;
    if (!member(settings, name, &item, refusal)) return false;
    return sw_json_text(item, value) || refused(refusal, sw_format("`%s`: text was expected", name));
}

bool sw_integer_setting(sw_json settings, const char *name, int64_t *value, sw_text *refusal) {
    sw_json item;
    if (!member(settings, name, &item, refusal)) return false;
    return sw_json_integer(item, value) || refused(refusal, sw_format("`%s`: a whole number was expected", name));
}
