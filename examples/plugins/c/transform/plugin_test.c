#include "stagewire_test.h"

#undef NDEBUG
#include <assert.h>

static void an_event_is_stamped_and_loses_the_fields(void) {
    sw_event *event = sw_test_event("test");
    sw_emitter *out = sw_test_emitter();
    sw_value stamp;
    sw_test_set(event, "subject", "1");
    sw_test_json(event, "{\"text\": \"long\", \"n\": 1}");
    assert(sw_transform(event, out).kind == SW_KEEP);
    assert(sw_test_count(out) == 1);
    const sw_event *handed = sw_test_handed(out, 0);
    assert(sw_attribute(handed, SW("stamp"), &stamp) && sw_equal(stamp.text, SW("checked")));
    assert(sw_equal(sw_data(handed), SW("{\"n\": 1}")));
    assert(sw_subject(handed, NULL));
}

static void data_of_another_kind_is_left_alone(void) {
    sw_event *event = sw_test_event("test");
    sw_emitter *out = sw_test_emitter();
    sw_test_set(event, "datacontenttype", "text/plain");
    sw_test_data(event, "text");
    assert(sw_transform(event, out).kind == SW_KEEP);
    assert(sw_equal(sw_data(sw_test_handed(out, 0)), SW("text")));
}

static void data_that_is_no_object_is_refused(void) {
    sw_event *event = sw_test_event("test");
    sw_test_json(event, "[1]");
    assert(sw_transform(event, sw_test_emitter()).kind == SW_PERMANENT);
    sw_test_json(event, "{\"text\":");
    assert(sw_transform(event, sw_test_emitter()).kind == SW_PERMANENT);
}

int main(void) {
    sw_text refusal;
    assert(sw_test_configure("{\"stamp\": \"checked\", \"remove\": [\"text\"]}", &refusal));
    an_event_is_stamped_and_loses_the_fields();
    data_of_another_kind_is_left_alone();
    data_that_is_no_object_is_refused();
}
