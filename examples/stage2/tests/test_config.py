"""The settings file: disabled unless enabled, and the host's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from stage2.core.config import SettingsError, load

REPOSITORY = Path(__file__).resolve().parents[3]


def written(directory: Path, text: str) -> Path:
    path = directory / "settings.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("text", ["", "events:", "events: {}", "host: {listen: '127.0.0.1:1'}", "celery: {x: 1}"])
def test_without_a_word_of_events_nothing_is_published(tmp_path: Path, text: str) -> None:
    assert not load(written(tmp_path, text), {}).events.enabled


def test_a_file_that_is_not_there_is_an_empty_one(tmp_path: Path) -> None:
    assert not load(tmp_path / "nowhere.yaml", {}).events.enabled


def test_the_full_file_of_the_document_is_taken() -> None:
    settings = load(REPOSITORY / "config/settings.yaml", {})
    assert not settings.events.enabled
    assert settings.events.publish_events.batch_completed
    assert settings.publisher.url == "http://127.0.0.1:8080/events"


def test_the_host_is_found_by_its_own_settings(tmp_path: Path) -> None:
    path = written(tmp_path, "events: {enabled: true}\nhost: {listen: '0.0.0.0:9000'}")
    assert load(path, {}).publisher.url == "http://127.0.0.1:9000/events"
    assert load(path, {"EVENTS_URL": "https://host/events"}).publisher.url == "https://host/events"


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "events: {enabled: true, publish_events: {document_failed: false}}")
    assert load(path, {}).events.enabled
    off = load(path, {"EVENTS_ENABLED": "false", "EVENTS_QUEUE": "7"})
    assert not off.events.enabled
    assert not off.events.publish_events.document_failed
    assert off.publisher.queue == 7


def test_variables_are_taken_from_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, "events: {enabled: '${ON:-true}', webhook: {headers: {X: '${NOT_HERE}'}}}")
    assert load(path, {}).events.enabled
    assert not load(path, {"ON": "false"}).events.enabled
    path = written(tmp_path, "host: {listen: '${LISTEN}'}")
    with pytest.raises(SettingsError, match="environment variable LISTEN is not set"):
        load(path, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("events: {enabled: perhaps}", "events.enabled"),
        ("events: 3", "events"),
        ("[1]", "it is no map"),
        ("events: {", "cannot read"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load(written(tmp_path, text), {"EVENTS_ENABLED": "true"} if text == "events: 3" else {})


def test_the_token_is_not_shown() -> None:
    settings = load("nowhere.yaml", {"EVENTS_TOKEN": "s3cret"})
    assert settings.publisher.token == "s3cret"
    assert "s3cret" not in repr(settings)
