import pytest
from plugin import Settings, Stamp
from stagewire import Permanent
from stagewire.testing import apply, event


def test_an_event_is_stamped_and_loses_the_fields():
    transform = Stamp(Settings(stamp="checked", remove=["text"]))
    [out] = apply(transform, event(subject="1", data={"text": "long", "n": 1}))
    assert out["stamp"] == "checked"
    assert out.subject == "1"
    assert out.json() == {"n": 1}


def test_data_of_another_kind_is_left_alone():
    transform = Stamp(Settings(stamp="checked", remove=["text"]))
    [out] = apply(transform, event(datacontenttype="text/plain", data="text"))
    assert out.data == b"text"


def test_data_that_is_no_object_is_refused():
    with pytest.raises(Permanent, match="not a JSON object"):
        apply(Stamp(Settings(stamp="checked", remove=["text"])), event(data=[1]))
