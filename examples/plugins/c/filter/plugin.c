/* Keeps events whose type starts with a prefix and that have a subject. */
#include "stagewire.h"

static sw_text prefix;

bool sw_configure(sw_json settings, sw_text *refusal) {
    static const char *const known[] = {"prefix", NULL};
    if (!sw_only(settings, known, refusal) || !sw_text_setting(settings, "prefix", &prefix, refusal)) return false;
    if (prefix.length > 0) return true;
    *refusal = SW("`prefix` is empty; leave the step out to keep every type");
    return false;
}

sw_answer sw_filter(const sw_event *event) {
    sw_text type = sw_type(event);
    if (!sw_starts_with(type, prefix)) {
        return sw_drop(sw_format("type %.*s does not start with %.*s", SW_ARG(type), SW_ARG(prefix)));
    }
    if (!sw_subject(event, NULL)) return sw_drop(SW("no subject"));
    return sw_keep();
}
