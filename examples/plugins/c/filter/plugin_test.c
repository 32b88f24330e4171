#include "stagewire_test.h"

#undef NDEBUG
#include <assert.h>

static void a_type_with_the_prefix_and_a_subject_is_kept(void) {
    sw_text refusal;
    assert(sw_test_configure("{\"prefix\": \"com.example.\"}", &refusal));
    sw_event *event = sw_test_event("com.example.made");
    assert(sw_equal(sw_filter(event).reason, SW("no subject")));
    sw_test_set(event, "subject", "1");
    assert(sw_filter(event).kind == SW_KEEP);
    sw_answer answer = sw_filter(sw_test_event("org.made"));
    assert(answer.kind == SW_DROP);
    assert(sw_equal(answer.reason, SW("type org.made does not start with com.example.")));
}

static void wrong_settings_are_refused(void) {
    sw_text refusal;
    assert(!sw_test_configure("{\"prefx\": \"com.\"}", &refusal));
    assert(sw_equal(refusal, SW("unknown field `prefx`, expected `prefix`")));
    assert(!sw_test_configure("{\"prefix\": \"\"}", &refusal));
    assert(!sw_test_configure("{}", &refusal));
}

int main(void) {
    a_type_with_the_prefix_and_a_subject_is_kept();
    wrong_settings_are_refused();
}
