"""`/livez` and `/readyz`: 200 or 503, and why. JSON for machines, one line per reason for people."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rotator.telemetry.health import Live, Ready, Why

# An answer of a moment ago is a wrong answer.
_FRESH = {"Cache-Control": "no-store"}


def routes(live: Callable[[], Live], ready: Callable[[], Ready]) -> list[Route]:
    """`live` and `ready` compute from memory alone: they answer while Vault and Consul hang."""

    async def livez(request: Request) -> Response:
        state = live()
        return _answer(request, state.alive, "alive" if state.alive else "stuck", "", state.reasons)

    async def readyz(request: Request) -> Response:
        state = ready()
        word = "ready" if state.ready else "not ready"
        return _answer(request, state.ready, word, state.role.value, state.reasons)

    return [Route("/livez", livez, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]


def _answer(request: Request, good: bool, word: str, role: str, reasons: tuple[Why, ...]) -> Response:
    status = 200 if good else 503
    if "application/json" not in request.headers.get("accept", ""):
        first = f"{word} ({role})" if role else word
        lines = [first, *(" ".join(part for part in (f"{why.check}:", why.text, why.code) if part) for why in reasons)]
        return PlainTextResponse("\n".join(lines) + "\n", status, headers=_FRESH)
    listed = [{"check": why.check.value, "text": why.text, "code": why.code} for why in reasons]
    body = {"status": word, "role": role, "reasons": listed} if role else {"status": word, "reasons": listed}
    return JSONResponse(body, status, headers=_FRESH)
