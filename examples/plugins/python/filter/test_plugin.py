import pytest
from plugin import ByPrefix, Settings
from stagewire import Drop, Keep, Refused
from stagewire.testing import configured, event


def test_a_type_with_the_prefix_and_a_subject_is_kept():
    plugin = ByPrefix(Settings(prefix="com.example."))
    assert plugin.keep(event(type="com.example.made", subject="1")) == Keep()
    assert plugin.keep(event(type="com.example.made")) == Drop("no subject")
    assert plugin.keep(event(type="org.made", subject="1")) == Drop(
        "type org.made does not start with com.example."
    )


def test_wrong_settings_are_refused():
    with pytest.raises(Refused, match="did you mean `prefix`"):
        configured(ByPrefix, '{"prefx": "com."}')
    with pytest.raises(Refused, match="is empty"):
        configured(ByPrefix, '{"prefix": ""}')
