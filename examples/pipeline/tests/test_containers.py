"""The container files say the same as the code, as far as that can be told without an engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rig.host import program

EXAMPLES = Path(__file__).resolve().parents[2]
PIPELINE = EXAMPLES / "pipeline"
IMAGES = ["stage2/Dockerfile", "stage3/Dockerfile", "pipeline/host.Dockerfile"]


@pytest.fixture
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((PIPELINE / "compose.yaml").read_text("utf-8")))


@pytest.mark.parametrize("image", IMAGES)
def test_the_container_files_are_linted(image: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command: list[str | Path] = [hadolint, "--config", EXAMPLES / ".hadolint.yaml", EXAMPLES / image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_is_linted() -> None:
    files = [PIPELINE / "compose.yaml", PIPELINE / "settings.yaml"]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "yamllint",
        "--strict",
        "-c",
        EXAMPLES / ".yamllint.yaml",
        *files,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_compose_file_names_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        if build := service.get("build"):
            context = PIPELINE / build["context"]
            assert (context / build.get("dockerfile", "Dockerfile")).is_file()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (PIPELINE / source).exists() if source.startswith(".") else source in compose["volumes"]
        for dependency in service.get("depends_on", {}):
            assert dependency in compose["services"]


def test_the_settings_of_the_containers_are_taken_by_the_host(tmp_path: Path) -> None:
    environment = {"STAGE2_WEBHOOK_SECRET": "whsec_c3RhZ2UyLWFuZC1zdGFnZTMtc2hhcmUtdGhpcy1rZXk="}
    command: list[str | Path] = [program(), "validate", PIPELINE / "settings.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_service_speaks_to_those_it_names(compose: dict[str, Any]) -> None:
    """Names in addresses are names of services."""
    services = set(compose["services"])
    words = yaml.safe_dump(compose) + (PIPELINE / "settings.yaml").read_text("utf-8")
    hosts = {word.split("://")[1].split(":")[0].split("/")[0] for word in words.split() if "://" in word}
    assert hosts - {"127.0.0.1", "localhost"} <= services | {"redis"}
