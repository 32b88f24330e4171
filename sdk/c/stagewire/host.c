/* The layer between this and what wit-bindgen generates (plugin.h), in the component. */
#ifdef __wasm__
#include "memory.h"
#include "plugin.h"
#include "stagewire.h"

/* The generated code wants an object file with the interface in it; `stagewire plugin build` embeds that itself. */
void __component_type_object_force_link_plugin(void) {}

struct sw_event {
    stagewire_plugin_event_borrow_event_t raw;
};

static plugin_string_t lent(sw_text text) {
    return (plugin_string_t){(uint8_t *)text.at, text.length};
}

static plugin_list_u8_t bytes(sw_text text) {
    return (plugin_list_u8_t){(uint8_t *)text.at, text.length};
}

/* What the host allocated is the call's; without length there is no block. */
static sw_text taken(uint8_t *at, size_t length) {
    if (length > 0) sw_own(at);
    return (sw_text){(const char *)at, length};
}

static sw_text read(const sw_event *event, void (*get)(stagewire_plugin_event_borrow_event_t, plugin_string_t *)) {
    plugin_string_t text;
    get(event->raw, &text);
    return taken(text.ptr, text.len);
}

typedef bool optional(stagewire_plugin_event_borrow_event_t, plugin_string_t *);

static bool look(const sw_event *event, optional *get, sw_text *value) {
    plugin_string_t text;
    if (!get(event->raw, &text)) return false;
    sw_text found = taken(text.ptr, text.len);
    if (value) *value = found;
    return true;
}

sw_text sw_id(const sw_event *event) {
    return read(event, stagewire_plugin_event_method_event_id);
}
sw_text sw_source(const sw_event *event) {
    return read(event, stagewire_plugin_event_method_event_source);
}
sw_text sw_type(const sw_event *event) {
    return read(event, stagewire_plugin_event_method_event_kind);
}
bool sw_subject(const sw_event *event, sw_text *value) {
    return look(event, stagewire_plugin_event_method_event_subject, value);
}
bool sw_time(const sw_event *event, sw_text *value) {
    return look(event, stagewire_plugin_event_method_event_time, value);
}
bool sw_datacontenttype(const sw_event *event, sw_text *value) {
    return look(event, stagewire_plugin_event_method_event_data_content_type, value);
}
bool sw_dataschema(const sw_event *event, sw_text *value) {
    return look(event, stagewire_plugin_event_method_event_data_schema, value);
}
bool sw_data_text(const sw_event *event, sw_text *text) {
    return look(event, stagewire_plugin_event_method_event_text, text);
}

static sw_value lifted(stagewire_plugin_event_value_t value) {
    switch (value.tag) {
        case STAGEWIRE_PLUGIN_EVENT_VALUE_TEXT: return sw_text_value(taken(value.val.text.ptr, value.val.text.len));
        case STAGEWIRE_PLUGIN_EVENT_VALUE_INTEGER: return sw_integer_value(value.val.integer);
        default: return sw_boolean_value(value.val.boolean);
    }
}

bool sw_attribute(const sw_event *event, sw_text name, sw_value *value) {
    plugin_string_t raw_name = lent(name);
    stagewire_plugin_event_value_t raw;
    if (!stagewire_plugin_event_method_event_attribute(event->raw, &raw_name, &raw)) return false;
    sw_value found = lifted(raw);
    if (value) *value = found;
    return true;
}

size_t sw_extensions(const sw_event *event, const sw_named **list) {
    stagewire_plugin_event_list_attribute_t raw;
    stagewire_plugin_event_method_event_extensions(event->raw, &raw);
    taken((uint8_t *)raw.ptr, raw.len);
    sw_named *found = sw_memory(raw.len * sizeof *found);
    for (size_t index = 0; index < raw.len; index++) {
        plugin_string_t name = raw.ptr[index].name;
        found[index] = (sw_named){taken(name.ptr, name.len), lifted(raw.ptr[index].value)};
    }
    *list = found;
    return raw.len;
}

bool sw_data_length(const sw_event *event, uint64_t *length) {
    return stagewire_plugin_event_method_event_data_length(event->raw, length);
}

sw_text sw_data(const sw_event *event) {
    plugin_list_u8_t data;
    stagewire_plugin_event_method_event_data(event->raw, &data);
    return taken(data.ptr, data.len);
}

void sw_log(enum sw_level level, sw_text message) {
    plugin_string_t raw = lent(message);
    stagewire_plugin_host_log((stagewire_plugin_host_level_t)level, &raw);
}
void sw_count(sw_text name, uint64_t by) {
    plugin_string_t raw = lent(name);
    stagewire_plugin_host_count(&raw, by);
}
void sw_observe(sw_text name, double value) {
    plugin_string_t raw = lent(name);
    stagewire_plugin_host_observe(&raw, value);
}
uint64_t sw_now(void) {
    return stagewire_plugin_host_now();
}

bool sw_state_get(sw_text key, sw_text *value) {
    plugin_string_t raw = lent(key);
    plugin_list_u8_t found;
    if (!stagewire_plugin_keyvalue_get(&raw, &found)) return false;
    *value = taken(found.ptr, found.len);
    return true;
}

static enum sw_written written(bool done, bool value, stagewire_plugin_keyvalue_error_t error) {
    if (done) return value ? SW_WRITTEN : SW_NOT_WRITTEN;
    return error.tag == STAGEWIRE_PLUGIN_KEYVALUE_ERROR_FULL ? SW_FULL : SW_TOO_LARGE;
}

enum sw_written sw_state_set(sw_text key, sw_text value, uint64_t milliseconds) {
    plugin_string_t raw = lent(key);
    plugin_list_u8_t raw_value = bytes(value);
    stagewire_plugin_keyvalue_error_t error = {0};
    bool done = stagewire_plugin_keyvalue_set(&raw, &raw_value, milliseconds ? &milliseconds : NULL, &error);
    return written(done, true, error);
}

void sw_state_delete(sw_text key) {
    plugin_string_t raw = lent(key);
    stagewire_plugin_keyvalue_delete(&raw);
}

enum sw_written sw_state_swap(sw_text key, const sw_text *expected, sw_text value, uint64_t milliseconds) {
    plugin_string_t raw = lent(key);
    plugin_list_u8_t raw_value = bytes(value), there = expected ? bytes(*expected) : (plugin_list_u8_t){0};
    stagewire_plugin_keyvalue_error_t error = {0};
    bool swapped = false;
    uint64_t *life = milliseconds ? &milliseconds : NULL;
    bool done = stagewire_plugin_keyvalue_compare_and_swap(&raw, expected ? &there : NULL, &raw_value, life, &swapped, &error);
    return written(done, swapped, error);
}

enum sw_written sw_state_claim(sw_text key, uint64_t milliseconds) {
    plugin_string_t raw = lent(key);
    stagewire_plugin_keyvalue_error_t error = {0};
    bool claimed = false;
    bool done = stagewire_plugin_keyvalue_claim(&raw, milliseconds ? &milliseconds : NULL, &claimed, &error);
    return written(done, claimed, error);
}

/* The generated exports free what they are given back: it must be theirs. */
static plugin_string_t given(sw_text text) {
    plugin_string_t copy;
    plugin_string_dup_n(&copy, text.at, text.length);
    return copy;
}

static bool configure(plugin_string_t *settings, plugin_string_t *error) {
    sw_json parsed;
    sw_text refusal = SW("the settings are refused");
    bool taken_on = sw_json_read(taken(settings->ptr, settings->len), &parsed) && sw_configure(parsed, &refusal);
    if (!taken_on) *error = given(refusal);
    sw_keep_memory();
    return taken_on;
}

#include "about.h"

#ifdef SW_FILTER_WORLD

#define EXPORTED(name) exports_stagewire_plugin_filtering_##name

bool EXPORTED(keep)(EXPORTED(borrow_event_t) raw, EXPORTED(verdict_t) *verdict, EXPORTED(error_t) *error) {
    sw_event event = {raw};
    sw_answer answer = sw_filter(&event);
    bool decided = answer.kind == SW_KEEP || answer.kind == SW_DROP;
    if (decided) {
        verdict->tag = answer.kind == SW_DROP;
        if (verdict->tag) verdict->val.drop = given(answer.reason);
    } else {
        error->tag = answer.kind == SW_TRANSIENT;
        error->val.permanent = given(answer.reason);
    }
    sw_forget();
    return decided;
}

#else

#define EXPORTED(name) exports_stagewire_plugin_transforming_##name

struct sw_draft {
    stagewire_plugin_emitting_own_draft_t raw;
    sw_draft *before;
};

struct sw_emitter {
    stagewire_plugin_emitting_borrow_emitter_t raw;
    sw_draft *last;
};

void sw_pass(sw_emitter *out, const sw_event *event) {
    stagewire_plugin_emitting_method_emitter_pass(out->raw, event->raw);
}

sw_draft *sw_edit(sw_emitter *out, const sw_event *event) {
    sw_draft *draft = sw_memory(sizeof *draft);
    *draft = (sw_draft){stagewire_plugin_emitting_method_emitter_edit(out->raw, event->raw), out->last};
    out->last = draft;
    return draft;
}

static stagewire_plugin_event_value_t lowered(sw_value value) {
    stagewire_plugin_event_value_t raw = {.tag = (uint8_t)value.kind};
    switch (value.kind) {
        case SW_TEXT: raw.val.text = lent(value.text); break;
        case SW_INTEGER: raw.val.integer = value.integer; break;
        case SW_BOOLEAN: raw.val.boolean = value.boolean; break;
    }
    return raw;
}

static plugin_option_string_t optional_text(sw_text text) {
    return (plugin_option_string_t){text.at != NULL, lent(text)};
}

static bool done(bool worked, plugin_string_t error, sw_text *refusal) {
    if (worked) return true;
    sw_text reason = taken(error.ptr, error.len);
    if (refusal) *refusal = reason;
    return false;
}

bool sw_emit(sw_emitter *out, const sw_new_event *event, sw_text *refusal) {
    size_t many = event->extension_count;
    stagewire_plugin_emitting_attribute_t *extensions = sw_memory(many * sizeof *extensions);
    for (size_t index = 0; index < many; index++) {
        const sw_named *named = &event->extensions[index];
        extensions[index] = (stagewire_plugin_emitting_attribute_t){lent(named->name), lowered(named->value)};
    }
    stagewire_plugin_emitting_new_event_t raw = {
        .id = lent(event->id),
        .source = lent(event->source),
        .kind = lent(event->type),
        .subject = optional_text(event->subject),
        .time = optional_text(event->time),
        .data_content_type = optional_text(event->datacontenttype),
        .data_schema = optional_text(event->dataschema),
        .extensions = {extensions, many},
        .data = {event->data.at != NULL, bytes(event->data)},
    };
    plugin_string_t error = {0};
    return done(stagewire_plugin_emitting_method_emitter_emit(out->raw, &raw, &error), error, refusal);
}

bool sw_set(sw_draft *draft, sw_text name, sw_value value, sw_text *refusal) {
    plugin_string_t raw_name = lent(name), error = {0};
    stagewire_plugin_event_value_t raw = lowered(value);
    stagewire_plugin_emitting_borrow_draft_t self = stagewire_plugin_emitting_borrow_draft(draft->raw);
    return done(stagewire_plugin_emitting_method_draft_set(self, &raw_name, &raw, &error), error, refusal);
}

bool sw_remove(sw_draft *draft, sw_text name, sw_text *refusal) {
    plugin_string_t raw_name = lent(name), error = {0};
    stagewire_plugin_emitting_borrow_draft_t self = stagewire_plugin_emitting_borrow_draft(draft->raw);
    return done(stagewire_plugin_emitting_method_draft_remove(self, &raw_name, &error), error, refusal);
}

void sw_set_data(sw_draft *draft, sw_text data) {
    plugin_list_u8_t raw = bytes(data);
    stagewire_plugin_emitting_method_draft_set_data(stagewire_plugin_emitting_borrow_draft(draft->raw), &raw);
}

void sw_set_text(sw_draft *draft, sw_text data) {
    plugin_string_t raw = lent(data);
    stagewire_plugin_emitting_method_draft_set_text(stagewire_plugin_emitting_borrow_draft(draft->raw), &raw);
}

void sw_remove_data(sw_draft *draft) {
    stagewire_plugin_emitting_method_draft_remove_data(stagewire_plugin_emitting_borrow_draft(draft->raw));
}

bool EXPORTED(apply)(EXPORTED(borrow_event_t) raw, EXPORTED(borrow_emitter_t) raw_out, EXPORTED(error_t) *error) {
    sw_event event = {raw};
    sw_emitter out = {raw_out, NULL};
    sw_answer answer = sw_transform(&event, &out);
    for (sw_draft *draft = out.last; draft; draft = draft->before) stagewire_plugin_emitting_draft_drop_own(draft->raw);
    bool worked = answer.kind == SW_KEEP || answer.kind == SW_DROP;
    if (!worked) {
        error->tag = answer.kind == SW_TRANSIENT;
        error->val.permanent = given(answer.reason);
    }
    sw_forget();
    return worked;
}

#endif

void EXPORTED(describe)(EXPORTED(description_t) *about) {
    about->name = given(SW(SW_NAME));
    about->version = given(SW(SW_VERSION));
    about->description = given(SW(SW_DESCRIPTION));
    about->settings_schema = given(SW(SW_SETTINGS_SCHEMA));
}

bool EXPORTED(configure)(plugin_string_t *settings, plugin_string_t *error) {
    return configure(settings, error);
}

#endif
