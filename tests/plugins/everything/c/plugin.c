/* Uses everything that the SDK has, and says in new events what it saw. */
#include "stagewire.h"

#include <string.h>

bool sw_configure(sw_json settings, sw_text *refusal) {
    static const char *const known[] = {NULL};
    return sw_only(settings, known, refusal);
}

static const char *word(bool value) {
    return value ? "true" : "false";
}

static sw_text value(sw_value value) {
    switch (value.kind) {
        case SW_TEXT: return value.text;
        case SW_INTEGER: return sw_format("%d", (int)value.integer);
        default: return sw_format("%s", word(value.boolean));
    }
}

static sw_text report(const sw_event *event) {
    sw_text subject = SW(""), time = SW(""), type = SW(""), schema = SW(""), text = SW(""), named = SW("");
    const sw_named *list;
    uint64_t length = 0;
    sw_subject(event, &subject);
    sw_time(event, &time);
    sw_datacontenttype(event, &type);
    bool there = sw_dataschema(event, &schema);
    sw_data_length(event, &length);
    sw_data_text(event, &text);
    for (size_t index = 0, many = sw_extensions(event, &list); index < many; index++) {
        sw_text said = value(list[index].value);
        named = sw_format("%.*s %.*s=%.*s", SW_ARG(named), SW_ARG(list[index].name), SW_ARG(said));
    }
    return sw_format("%.*s %.*s %.*s \"%.*s\" %s %d %d %.*s %s%.*s %s", SW_ARG(subject), SW_ARG(time), SW_ARG(type), SW_ARG(schema),
        word(there), (int)length, (int)sw_data(event).length, SW_ARG(text), word(sw_attribute(event, SW("absent"), NULL)),
        SW_ARG(named), word(sw_now() > 0));
}

static sw_text keep(void) {
    sw_text found = SW(""), one = SW("one"), two = SW("two");
    sw_state_set(SW("key"), one, 0);
    bool wrong = sw_state_swap(SW("key"), &two, SW("three"), 0) == SW_WRITTEN;
    bool right = sw_state_swap(SW("key"), &one, SW("four"), 0) == SW_WRITTEN;
    sw_state_get(SW("key"), &found);
    sw_state_delete(SW("key"));
    sw_text gone;
    bool left = sw_state_get(SW("key"), &gone);
    sw_text large = {sw_memory(1 << 17), 1 << 17};
    memset((char *)large.at, 0, large.length);
    bool refused = sw_state_set(SW("key"), large, 0) == SW_TOO_LARGE;
    return sw_format("%s %s %.*s %s %s", word(wrong), word(right), SW_ARG(found), word(left), word(refused));
}

sw_answer sw_transform(const sw_event *event, sw_emitter *out) {
    sw_text type = sw_type(event), refusal;
    if (sw_equal(type, SW("transient"))) return sw_transient(SW("later"));
    if (sw_equal(type, SW("permanent"))) return sw_permanent(SW("never"));
    if (sw_equal(type, SW("panic"))) __builtin_trap();
    sw_log(SW_WARN, SW("one line"));
    sw_count(SW("seen"), 2);
    sw_observe(SW("size"), 1.5);
    sw_pass(out, event);
    sw_draft *draft = sw_edit(out, event);
    sw_value number;
    sw_attribute(event, SW("number"), &number);
    if (!sw_set(draft, SW("number"), sw_integer_value(number.integer + 1), &refusal)
        || !sw_set(draft, SW("flag"), sw_boolean_value(false), &refusal) || !sw_remove(draft, SW("subject"), &refusal)) {
        return sw_permanent(refusal);
    }
    if (sw_set(draft, SW("specversion"), sw_text_value(SW("2.0")), NULL)) return sw_permanent(SW("specversion was set"));
    sw_set_text(draft, SW("größer"));
    sw_remove_data(sw_edit(out, event));
    sw_text id = sw_id(event);
    bool claimed = sw_state_claim(sw_format("id-%.*s", SW_ARG(id)), 60000) == SW_WRITTEN;
    sw_named extensions[] = {
        {SW("claimed"), sw_boolean_value(claimed)}, {SW("kept"), sw_text_value(keep())}, {SW("many"), sw_integer_value(3)},
    };
    sw_new_event new = {
        .id = sw_format("new-%.*s", SW_ARG(id)), .source = sw_source(event), .type = SW("report"),
        .datacontenttype = SW("text/plain"), .extensions = extensions, .extension_count = 3, .data = report(event),
    };
    return sw_emit(out, &new, &refusal) ? sw_done() : sw_permanent(refusal);
}
