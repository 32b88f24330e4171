"""Webhooks: a FastAPI application that verifies Standard Webhooks signatures."""

from __future__ import annotations

import argparse
import logging
import os
import threading

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from standardwebhooks import Webhook, WebhookVerificationError

from ..feedback import Undeliverable
from ..stage import Outcome, Stage

logger = logging.getLogger(__name__)

MOST_BODY = 1 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this backend. The secret is in the environment: `STAGE3_WEBHOOK_SECRET`."""
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8003)


def consume(stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
    """Serve until it is time to stop."""
    app = create_app(stage, os.environ["STAGE3_WEBHOOK_SECRET"])
    server = uvicorn.Server(uvicorn.Config(app, host=options.address, port=options.port, log_level="warning"))

    def end() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    server.run()


def create_app(stage: Stage, secret: str) -> FastAPI:
    """Make the application; `secret` is one of the host's `webhook.signing_secrets`."""
    app = FastAPI(title="Stage 3: embedding")
    verifier = Webhook(secret)

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/webhook/nlp-events", status_code=204)
    async def receive(request: Request) -> Response:
        body = await request.body()
        if len(body) > MOST_BODY:
            raise HTTPException(413, "an event is smaller")
        try:
            verifier.verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            raise HTTPException(401, f"the signature is not right: {error}") from error
        try:
            outcome = await run_in_threadpool(stage.receive, body, dict(request.headers))
        except Undeliverable as error:
            # The host asks again, after a while.
            raise HTTPException(503, str(error), {"Retry-After": "1"}) from error
        if outcome is Outcome.UNREADABLE:
            raise HTTPException(400, "this is no CloudEvent in structured mode")
        return Response(status_code=204)

    return app
