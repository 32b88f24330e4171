"""The way back: events of Stage 3 go to the same host, and a route of it leads them to Stage 2."""

from __future__ import annotations

import httpx

from .event import Event


class Undeliverable(Exception):  # noqa: N818 (it is no error of anybody: the host is away)
    """The host did not take the event now; what it answers must stay where it is, and come again."""


class Feedback:
    """Posts events, and returns when the host has them on its disk."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url
        self._client = httpx.Client(timeout=timeout, headers=headers, trust_env=False)

    def send(self, event: Event) -> None:
        """Post one event.

        Raises:
            Undeliverable: the host is not there, too busy, or does not want it.
        """
        try:
            answer = self._client.post(
                self._url, content=event.encode(), headers={"Content-Type": "application/cloudevents+json"}
            )
        except httpx.HTTPError as error:
            raise Undeliverable(f"cannot reach {self._url}: {error}") from error
        if not answer.is_success:
            raise Undeliverable(f"{self._url} answered {answer.status_code}")
