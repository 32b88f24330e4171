/* Write a Stagewire plugin in C: two functions, tested without WebAssembly (stagewire_test.h).
 *
 *     static int64_t least;
 *
 *     bool sw_configure(sw_json settings, sw_text *refusal) {
 *         static const char *const known[] = {"least", NULL};
 *         return sw_only(settings, known, refusal) && sw_integer_setting(settings, "least", &least, refusal);
 *     }
 *
 *     sw_answer sw_filter(const sw_event *event) {
 *         uint64_t length = 0;
 *         sw_data_length(event, &length);
 *         return length < (uint64_t)least ? sw_drop(SW("too small")) : sw_keep();
 *     }
 *
 * `stagewire plugin build` makes a component of it. Texts are not terminated by a zero. What a call reads, formats or
 * allocates by sw_memory lives until the call ends; what sw_configure does lives as long as the plugin. */
#ifndef STAGEWIRE_H
#define STAGEWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *at;
    size_t length;
} sw_text;

/* A literal as a text. */
#ifdef __cplusplus
#define SW(literal) (sw_text{literal, sizeof(literal) - 1})
#else
#define SW(literal) ((sw_text){literal, sizeof(literal) - 1})
#endif

/* For printf: printf("%.*s", SW_ARG(text)). */
#define SW_ARG(text) (int)(text).length, (text).at

bool sw_equal(sw_text a, sw_text b);
bool sw_starts_with(sw_text text, sw_text prefix);
/* As printf, into memory of the call. */
sw_text sw_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Memory of the call; never NULL. */
void *sw_memory(size_t size);

/* ---- The event: each function reads from the host, and what is not asked for is not copied. ---- */

typedef struct sw_event sw_event;

/* The value of an attribute. URIs, timestamps and binary values are text, as in JSON. */
typedef struct {
    enum { SW_TEXT, SW_INTEGER, SW_BOOLEAN } kind;
    sw_text text;
    int32_t integer;
    bool boolean;
} sw_value;

typedef struct {
    sw_text name;
    sw_value value;
} sw_named;

sw_text sw_id(const sw_event *event);
sw_text sw_source(const sw_event *event);
sw_text sw_type(const sw_event *event);
/* False where the event has none; `value` may be NULL. */
bool sw_subject(const sw_event *event, sw_text *value);
bool sw_time(const sw_event *event, sw_text *value);
bool sw_datacontenttype(const sw_event *event, sw_text *value);
bool sw_dataschema(const sw_event *event, sw_text *value);
/* Any attribute by its CloudEvents name, core or extension. */
bool sw_attribute(const sw_event *event, sw_text name, sw_value *value);
/* The extension attributes, sorted by name; how many. */
size_t sw_extensions(const sw_event *event, const sw_named **list);
/* The length of the data in bytes, without copying it; false where the event has no data. */
bool sw_data_length(const sw_event *event, uint64_t *length);
/* A copy of the data; empty where there is none. */
sw_text sw_data(const sw_event *event);
/* The data where it is UTF-8 text. */
bool sw_data_text(const sw_event *event, sw_text *text);

sw_value sw_text_value(sw_text text);
sw_value sw_integer_value(int32_t integer);
sw_value sw_boolean_value(bool boolean);

/* ---- What a transform hands out. ---- */

typedef struct sw_emitter sw_emitter;
typedef struct sw_draft sw_draft;

/* An event made from nothing; specversion is the host's. Optional attributes whose `at` is NULL are absent. */
typedef struct {
    sw_text id, source, type;
    sw_text subject, time, datacontenttype, dataschema;
    const sw_named *extensions;
    size_t extension_count;
    sw_text data;
} sw_new_event;

/* Hands the event on as it is. */
void sw_pass(sw_emitter *out, const sw_event *event);
/* Hands on a copy that may still be changed until the call ends. What is not set stays the host's own bytes. */
sw_draft *sw_edit(sw_emitter *out, const sw_event *event);
/* Hands a new event on; false and why not, where the host refuses it. */
bool sw_emit(sw_emitter *out, const sw_new_event *event, sw_text *refusal);

/* Sets an attribute by its CloudEvents name (type, subject, an extension …). */
bool sw_set(sw_draft *draft, sw_text name, sw_value value, sw_text *refusal);
/* Removes an optional attribute. */
bool sw_remove(sw_draft *draft, sw_text name, sw_text *refusal);
/* Replaces the data and keeps datacontenttype. */
void sw_set_data(sw_draft *draft, sw_text data);
/* Replaces the data by UTF-8 text and keeps datacontenttype. */
void sw_set_text(sw_draft *draft, sw_text data);
/* Removes the data. */
void sw_remove_data(sw_draft *draft);

/* ---- What a plugin answers. ---- */

typedef struct {
    enum { SW_KEEP, SW_DROP, SW_PERMANENT, SW_TRANSIENT } kind;
    sw_text reason;
} sw_answer;

/* The event goes on (a filter); all is handed out (a transform). */
sw_answer sw_keep(void);
sw_answer sw_done(void);
/* The event is dropped, with the reason that logs and provenance show. */
sw_answer sw_drop(sw_text reason);
/* This event can never be processed. */
sw_answer sw_permanent(sw_text reason);
/* The same call may succeed later: tried again where the step's on_error is retry. */
sw_answer sw_transient(sw_text reason);

/* ---- What the host offers. In a test, log lines go to standard error and the rest is left out. ---- */

enum sw_level { SW_TRACE, SW_DEBUG, SW_INFO, SW_WARN, SW_ERROR };

/* Writes to the host's log under the step's name. Never log an event's data. */
void sw_log(enum sw_level level, sw_text message);
/* Adds to a counter of the plugin's own; a name is 1 to 64 of a-z, 0-9 and _. */
void sw_count(sw_text name, uint64_t by);
/* Adds a value to a histogram of the plugin's own. */
void sw_observe(sw_text name, double value);
/* The time of this call: nanoseconds since 1970, the same from its beginning to its end, and again in a replay. */
uint64_t sw_now(void);

/* ---- State of the step's own, for a step that was granted keyvalue. A life of 0 milliseconds has no end. ---- */

enum sw_written { SW_WRITTEN, SW_NOT_WRITTEN, SW_FULL, SW_TOO_LARGE };

bool sw_state_get(sw_text key, sw_text *value);
enum sw_written sw_state_set(sw_text key, sw_text value, uint64_t milliseconds);
void sw_state_delete(sw_text key);
/* Writes if what is there is still `expected`; NULL: if nothing is there. */
enum sw_written sw_state_swap(sw_text key, const sw_text *expected, sw_text value, uint64_t milliseconds);
/* Claims a key for the event of this call: written where nobody holds it, or this very event does. */
enum sw_written sw_state_claim(sw_text key, uint64_t milliseconds);

/* ---- JSON: a value is a span of a text that was checked. ---- */

typedef struct {
    const char *at;
    size_t length;
} sw_json;

enum sw_json_kind { SW_JSON_NULL, SW_JSON_BOOLEAN, SW_JSON_NUMBER, SW_JSON_STRING, SW_JSON_ARRAY, SW_JSON_OBJECT };

/* Checks a whole text; false where it is no JSON. */
bool sw_json_read(sw_text text, sw_json *value);
enum sw_json_kind sw_json_kind(sw_json value);
/* Goes through an array or object: begin with a cursor of 0. `key` is the string of a member, and empty in an array. */
bool sw_json_next(sw_json container, size_t *cursor, sw_json *key, sw_json *item);
/* The last member of an object under a key. */
bool sw_json_member(sw_json object, const char *key, sw_json *item);
/* Whether a string is that text. */
bool sw_json_is(sw_json string, sw_text text);
bool sw_json_text(sw_json value, sw_text *text);
bool sw_json_integer(sw_json value, int64_t *integer);
bool sw_json_boolean(sw_json value, bool *boolean);

/* Refuses settings with a field that is not among these; the list ends with NULL. */
bool sw_only(sw_json settings, const char *const *known, sw_text *refusal);
/* Fields that must be there. */
bool sw_text_setting(sw_json settings, const char *name, sw_text *value, sw_text *refusal);
bool sw_integer_setting(sw_json settings, const char *name, int64_t *value, sw_text *refusal);

/* ---- What a plugin defines: the first, and one of the others. ---- */

/* Called once, before any event. False and a reason refuse the swap, and the last good settings stay. */
bool sw_configure(sw_json settings, sw_text *refusal);
sw_answer sw_filter(const sw_event *event);
/* What was handed out before an error is discarded. */
sw_answer sw_transform(const sw_event *event, sw_emitter *out);

#ifdef __cplusplus
}
#endif
#endif
