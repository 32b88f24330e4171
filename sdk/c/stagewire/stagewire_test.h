/* For a plugin's own tests: events made by hand, and what a transform hands out. */
#ifndef STAGEWIRE_TEST_H
#define STAGEWIRE_TEST_H

#include "stagewire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Hands settings, JSON text, to the plugin; false and why not, where it refuses them. */
bool sw_test_configure(const char *settings, sw_text *refusal);

/* An event whose id is "1" and whose source is "/test". */
sw_event *sw_test_event(const char *type);
void sw_test_set(sw_event *event, const char *name, const char *value);
void sw_test_data(sw_event *event, const char *data);
/* Sets the data and its datacontenttype. */
void sw_test_json(sw_event *event, const char *json);

sw_emitter *sw_test_emitter(void);
/* How many events were handed out, and one of them. */
size_t sw_test_count(const sw_emitter *out);
const sw_event *sw_test_handed(const sw_emitter *out, size_t index);

/* Empties the step's state, as it is before the first event. */
void sw_test_empty_state(void);

#ifdef __cplusplus
}
#endif
#endif
