"""The way back: events of Stage 3 go to the same host, and a route of it leads them to Stage 2."""

from __future__ import annotations

import httpx

from .event import Event


class Undeliverable(Exception):  # noqa: N818 (it is no error of anybody: the host is away)
    """The host did not take the event now; what it answers must stay where it is, and come again."""


class RefusedError(Exception):
    """The host will never take the event; the message says why."""


class Feedback:
    """Posts events, and returns when the host has them on its disk."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url
        self._client = httpx.Client(timeout=timeout, headers=headers, trust_env=False)

    def send(self, event: Event) -> None:
        """Post one event.

        Raises:
            Undeliverable: the host is not there, too busy, or does not know this sender.
            RefusedError: the event is against the host's rules, `host.max_hops` for one.
        """
        try:
            answer = self._client.post(
                self._url, content=event.encode(), headers={"Content-Type": "application/cloudevents+json"}
            )
        except httpx.HTTPError as error:
            raise Undeliverable(f"cannot reach {self._url}: {error}") from error
        if answer.status_code in (400, 413, 422):
            raise RefusedError(f"the host answered {answer.status_code}: {_detail(answer)}")
        if not answer.is_success:
            raise Undeliverable(f"{self._url} answered {answer.status_code}")


def _detail(answer: httpx.Response) -> str:
    """Read the detail of a problem document (RFC 9457)."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
