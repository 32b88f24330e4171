/* What stands in for the host in a test. Nothing is freed: a test ends soon. */
#ifndef __wasm__
#include "stagewire_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 64 };

struct sw_event {
    sw_named attributes[MOST];
    size_t count;
    sw_text data;
};

struct sw_draft {
    sw_event event;
};

struct sw_emitter {
    const sw_event *handed[MOST];
    size_t count;
};

static sw_text text_of(const char *text) {
    return (sw_text){text, strlen(text)};
}

bool sw_test_configure(const char *settings, sw_text *refusal) {
    sw_json parsed;
    *refusal = SW("the settings are no JSON");
    return sw_json_read(text_of(settings), &parsed) && sw_configure(parsed, refusal);
}

static const sw_named *find(const sw_event *event, sw_text name) {
    for (size_t index = 0; index < event->count; index++) {
        if (sw_equal(event->attributes[index].name, name)) return &event->attributes[index];
    }
    return NULL;
}

static void drop(sw_event *event, sw_text name) {
    const sw_named *there = find(event, name);
    if (there == NULL) return;
    size_t index = (size_t)(there - event->attributes);
    event->count--;
    memmove(&event->attributes[index], &event->attributes[index + 1], (event->count - index) * sizeof(sw_named));
}

/* In the order of names. */
static void put(sw_event *event, sw_text name, sw_value value) {
    drop(event, name);
    if (event->count == MOST) abort();
    size_t index = event->count++;
    for (; index > 0; index--) {
        sw_text before = event->attributes[index - 1].name;
        size_t shorter = before.length < name.length ? before.length : name.length;
        int order = memcmp(before.at, name.at, shorter);
        if (order < 0 || (order == 0 && before.length < name.length)) break;
        event->attributes[index] = event->attributes[index - 1];
    }
    event->attributes[index] = (sw_named){name, value};
}

sw_event *sw_test_event(const char *type) {
    sw_event *event = calloc(1, sizeof *event);
    if (event == NULL) abort();
    sw_test_set(event, "id", "1");
    sw_test_set(event, "source", "/test");
    sw_test_set(event, "type", type);
    return event;
}

void sw_test_set(sw_event *event, const char *name, const char *value) {
    put(event, text_of(name), sw_text_value(text_of(value)));
}

void sw_test_data(sw_event *event, const char *data) {
    event->data = text_of(data);
}

void sw_test_json(sw_event *event, const char *json) {
    sw_test_set(event, "datacontenttype", "application/json");
    sw_test_data(event, json);
}

sw_emitter *sw_test_emitter(void) {
    sw_emitter *out = calloc(1, sizeof *out);
    if (out == NULL) abort();
    return out;
}

size_t sw_test_count(const sw_emitter *out) {
    return out->count;
}

const sw_event *sw_test_handed(const sw_emitter *out, size_t index) {
    return out->handed[index];
}

static bool look(const sw_event *event, const char *name, sw_text *value) {
    const sw_named *there = find(event, text_of(name));
    if (there && value) *value = there->value.text;
    return there != NULL;
}

static sw_text needed(const sw_event *event, const char *name) {
    sw_text value = {"", 0};
    look(event, name, &value);
    return value;
}

sw_text sw_id(const sw_event *event) {
    return needed(event, "id");
}
sw_text sw_source(const sw_event *event) {
    return needed(event, "source");
}
sw_text sw_type(const sw_event *event) {
    return needed(event, "type");
}
bool sw_subject(const sw_event *event, sw_text *value) {
    return look(event, "subject", value);
}
bool sw_time(const sw_event *event, sw_text *value) {
    return look(event, "time", value);
}
bool sw_datacontenttype(const sw_event *event, sw_text *value) {
    return look(event, "datacontenttype", value);
}
bool sw_dataschema(const sw_event *event, sw_text *value) {
    return look(event, "dataschema", value);
}

bool sw_attribute(const sw_event *event, sw_text name, sw_value *value) {
    const sw_named *there = find(event, name);
    if (there && value) *value = there->value;
    return there != NULL;
}

size_t sw_extensions(const sw_event *event, const sw_named **list) {
    static const char *const core[] = {"id", "source", "type", "subject", "time", "datacontenttype", "dataschema"};
    sw_named *found = sw_memory(event->count * sizeof *found);
    size_t count = 0;
    for (size_t index = 0; index < event->count; index++) {
        bool extension = true;
        for (size_t known = 0; known < sizeof core / sizeof *core; known++) {
            extension &= !sw_equal(event->attributes[index].name, text_of(core[known]));
        }
        if (extension) found[count++] = event->attributes[index];
    }
    *list = found;
    return count;
}

bool sw_data_length(const sw_event *event, uint64_t *length) {
    if (event->data.at) *length = event->data.length;
    return event->data.at != NULL;
}
sw_text sw_data(const sw_event *event) {
    return event->data.at ? event->data : SW("");
}
bool sw_data_text(const sw_event *event, sw_text *text) {
    if (event->data.at) *text = event->data;
    return event->data.at != NULL;
}

static void hand(sw_emitter *out, const sw_event *event) {
    if (out->count == MOST) abort();
    out->handed[out->count++] = event;
}

void sw_pass(sw_emitter *out, const sw_event *event) {
    hand(out, event);
}

sw_draft *sw_edit(sw_emitter *out, const sw_event *event) {
    sw_draft *draft = sw_memory(sizeof *draft);
    draft->event = *event;
    hand(out, &draft->event);
    return draft;
}

bool sw_emit(sw_emitter *out, const sw_new_event *event, sw_text *refusal) {
    (void)refusal;
    sw_event *made = calloc(1, sizeof *made);
    if (made == NULL) abort();
    const struct { const char *name; sw_text value; } core[] = {
        {"id", event->id}, {"source", event->source}, {"type", event->type}, {"subject", event->subject},
        {"time", event->time}, {"datacontenttype", event->datacontenttype}, {"dataschema", event->dataschema},
    };
    for (size_t index = 0; index < sizeof core / sizeof *core; index++) {
        if (core[index].value.at) put(made, text_of(core[index].name), sw_text_value(core[index].value));
    }
    for (size_t index = 0; index < event->extension_count; index++) {
        put(made, event->extensions[index].name, event->extensions[index].value);
    }
    made->data = event->data;
    hand(out, made);
    return true;
}

static bool refused(sw_text *refusal, sw_text reason) {
    if (refusal) *refusal = reason;
    return false;
}

bool sw_set(sw_draft *draft, sw_text name, sw_value value, sw_text *refusal) {
    for (size_t index = 0; index < name.length; index++) {
        char letter = name.at[index];
        bool fits = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
        if (!fits) return refused(refusal, sw_format("`%.*s` is no attribute that can be set", SW_ARG(name)));
    }
    put(&draft->event, name, value);
    return true;
}

bool sw_remove(sw_draft *draft, sw_text name, sw_text *refusal) {
    if (sw_equal(name, SW("id")) || sw_equal(name, SW("source")) || sw_equal(name, SW("type"))) {
        return refused(refusal, sw_format("`%.*s` is required", SW_ARG(name)));
    }
    drop(&draft->event, name);
    return true;
}

void sw_set_data(sw_draft *draft, sw_text data) {
    draft->event.data = data;
}
void sw_set_text(sw_draft *draft, sw_text data) {
    sw_set_data(draft, data);
}
void sw_remove_data(sw_draft *draft) {
    draft->event.data = (sw_text){NULL, 0};
}

void sw_log(enum sw_level level, sw_text message) {
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    fprintf(stderr, "%s: %.*s\n", names[level], SW_ARG(message));
}
void sw_count(sw_text name, uint64_t by) {
    (void)name, (void)by;
}
void sw_observe(sw_text name, double value) {
    (void)name, (void)value;
}
uint64_t sw_now(void) {
    return (uint64_t)time(NULL) * 1000000000;
}

/* Times do not pass in it; every claim is another event's. */
static sw_named state[MOST];
static size_t state_count;

void sw_test_empty_state(void) {
    state_count = 0;
}

static sw_named *kept(sw_text key) {
    for (size_t index = 0; index < state_count; index++) {
        if (sw_equal(state[index].name, key)) return &state[index];
    }
    return NULL;
}

bool sw_state_get(sw_text key, sw_text *value) {
    sw_named *there = kept(key);
    if (there) *value = there->value.text;
    return there != NULL;
}

static sw_text copied(sw_text text) {
    char *copy = malloc(text.length + 1);
    if (copy == NULL) abort();
    if (text.length) memcpy(copy, text.at, text.length);
    return (sw_text){copy, text.length};
}

enum sw_written sw_state_set(sw_text key, sw_text value, uint64_t milliseconds) {
    (void)milliseconds;
    if (key.length > 1 << 10 || value.length > 1 << 16) return SW_TOO_LARGE;
    sw_named *there = kept(key);
    if (there == NULL) {
        if (state_count == MOST) return SW_FULL;
        there = &state[state_count++];
        there->name = copied(key);
    }
    there->value = sw_text_value(copied(value));
    return SW_WRITTEN;
}

void sw_state_delete(sw_text key) {
    sw_named *there = kept(key);
    if (there) *there = state[--state_count];
}

enum sw_written sw_state_swap(sw_text key, const sw_text *expected, sw_text value, uint64_t milliseconds) {
    sw_named *there = kept(key);
    bool same = there && expected ? sw_equal(there->value.text, *expected) : !there && !expected;
    return same ? sw_state_set(key, value, milliseconds) : SW_NOT_WRITTEN;
}

enum sw_written sw_state_claim(sw_text key, uint64_t milliseconds) {
    return sw_state_swap(key, NULL, SW(""), milliseconds);
}
#endif
