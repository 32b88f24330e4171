/* Stamps events with an extension attribute, and removes fields from JSON data. */
#include "stagewire.h"

#include <string.h>

static sw_text stamp;
static sw_json removed;

static bool is_list_of_texts(sw_json list) {
    sw_json key, item;
    size_t cursor = 0;
    if (sw_json_kind(list) != SW_JSON_ARRAY) return false;
    while (sw_json_next(list, &cursor, &key, &item)) {
        if (sw_json_kind(item) != SW_JSON_STRING) return false;
    }
    return true;
}

bool sw_configure(sw_json settings, sw_text *refusal) {
    static const char *const known[] = {"stamp", "remove", NULL};
    if (!sw_only(settings, known, refusal) || !sw_text_setting(settings, "stamp", &stamp, refusal)) return false;
    if (stamp.length == 0) {
        *refusal = SW("`stamp` is empty; write what the attribute shall say");
        return false;
    }
    if (sw_json_member(settings, "remove", &removed) && !is_list_of_texts(removed)) {
        *refusal = SW("`remove`: an array of texts was expected");
        return false;
    }
    return true;
}

static bool is_removed(sw_json name) {
    sw_json key, item;
    sw_text text;
    size_t cursor = 0;
    while (sw_json_next(removed, &cursor, &key, &item)) {
        if (sw_json_text(item, &text) && sw_json_is(name, text)) return true;
    }
    return false;
}

/* The object without the fields; what stays keeps its bytes. */
static sw_text without(sw_json object) {
    char *out = sw_memory(object.length + 1);
    size_t length = 0, cursor = 0;
    sw_json key, item;
    out[length++] = '{';
    while (sw_json_next(object, &cursor, &key, &item)) {
        if (is_removed(key)) continue;
        if (length > 1) out[length++] = ',';
        size_t member = (size_t)(item.at + item.length - key.at);
        memcpy(out + length, key.at, member);
        length += member;
    }
    out[length++] = '}';
    return (sw_text){out, length};
}

sw_answer sw_transform(const sw_event *event, sw_emitter *out) {
    sw_text type = {"", 0}, refusal;
    sw_json data;
    sw_draft *draft = sw_edit(out, event);
    if (!sw_set(draft, SW("stamp"), sw_text_value(stamp), &refusal)) return sw_permanent(refusal);
    sw_datacontenttype(event, &type);
    if (removed.length == 0 || !sw_equal(type, SW("application/json"))) return sw_done();
    if (!sw_json_read(sw_data(event), &data)) return sw_permanent(SW("data is not JSON"));
    if (sw_json_kind(data) != SW_JSON_OBJECT) return sw_permanent(SW("data is not a JSON object"));
    sw_set_data(draft, without(data));
    return sw_done();
}
