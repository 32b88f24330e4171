"""Hand stories to Stage 2 as one batch, and say what became of them.

python -m stage2.feed --url http://127.0.0.1:8000 stories/
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

EVERY_SECONDS = 0.5


def main() -> int:
    """Post all `.md` and `.txt` files, and wait for the end of the batch."""
    parser = argparse.ArgumentParser("stage2.feed", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the service")
    parser.add_argument("paths", nargs="+", type=Path, help="stories, or directories of them")
    options = parser.parse_args()
    documents = [{"document_id": path.stem, "text": path.read_text("utf-8")} for path in _files(options.paths)]
    job_id = f"job-{uuid.uuid4().hex[:8]}"
    _ask(f"{options.url}/batches", {"job_id": job_id, "documents": documents})
    while (batch := _ask(f"{options.url}/batches/{job_id}"))["completed_at"] is None:
        time.sleep(EVERY_SECONDS)
    for name, entry in batch["documents"].items():
        sys.stdout.write(f"{name}: {entry['status']}{': ' + entry['reason'] if entry['reason'] else ''}\n")
    return int(any(entry["status"] == "failed" for entry in batch["documents"].values()))


def _files(paths: list[Path]) -> list[Path]:
    found = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [file for file in found if file.suffix in (".md", ".txt")]


def _ask(url: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 (the caller's)
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return dict(json.loads(answer.read()))


if __name__ == "__main__":
    sys.exit(main())
