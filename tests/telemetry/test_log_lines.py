"""No secret reaches a log line: not by value, not by look, not through a traceback, not from a library."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import structlog

from rotator.core.secret import MASK, Secret
from rotator.telemetry import logs

CANARY = 'CANARY-7f3a/"92+e1='
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqGSM49AwEH\n-----END PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Logging belongs to the process; the next test finds it as this one did."""
    root = logging.getLogger()
    handlers, level, noisy = list(root.handlers), root.level, logging.raiseExceptions
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], logging.raiseExceptions = handlers, noisy
    root.setLevel(level)
    for name, known in levels.items():
        logging.getLogger(name).setLevel(known)


def configured(style: str = "json", redactor: logs.Redactor | None = None) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(redactor or logs.Redactor(), level="debug", style=style, stream=stream)
    return stream


def fail_with_a_secret_in_a_local() -> None:
    token = CANARY
    raise RuntimeError(f"refused after {len(token)} bytes")


@pytest.mark.parametrize("style", ["json", "console"])
def test_secret_in_a_local_of_a_raised_exception_stays_out(style: str) -> None:
    """structlog shows local variables by default (hynek/structlog#715); the redactor does not know this one."""
    stream = configured(style)
    try:
        fail_with_a_secret_in_a_local()
    except RuntimeError:
        structlog.get_logger("rotator.test").exception("rotation failed")
        logging.getLogger("elsewhere").exception("from the standard library")
    assert "RuntimeError" in stream.getvalue()
    assert "fail_with_a_secret_in_a_local" in stream.getvalue()
    assert "CANARY" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_known_secret_is_masked_in_every_spelling(style: str) -> None:
    """A value leaves in the spelling of whatever carried it: a URL, a header, a JSON body, a dump."""
    redactor = logs.Redactor()
    redactor.know(Secret(CANARY))
    stream = configured(style, redactor)
    raw = CANARY.encode()
    spelled = [CANARY, quote(CANARY, safe=""), base64.b64encode(raw).decode(), raw.hex(), json.dumps(CANARY)]
    for text in spelled:
        structlog.get_logger().info("call", detail=text, nested={"deep": [text]})
        logging.getLogger("urllib3").warning("GET %s", text)
    for text in (*spelled, json.dumps(CANARY)[1:-1], "CANARY"):
        assert text not in stream.getvalue()
    assert MASK in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "hvs.CAESIJ0vbk1GqPY0000",
        "s.Z7rEGOyBY0d8c7WBPvXX0000",
        "b.AAAAAQKGSM49AwEHAgEGCCqGSM49",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        PEM,
        PEM[:60],
        "Authorization: Bearer abcdefgh12345678",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJiaWxsaW5nIn0.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    """Nobody registered it; its shape is enough."""
    stream = configured()
    structlog.get_logger().info("call", detail=f"before {text} after")
    line = json.loads(stream.getvalue())
    assert MASK in line["detail"]
    assert line["detail"].startswith("before ")
    assert text.split()[-1] not in line["detail"]


def test_ordinary_words_stay() -> None:
    """A log in which names are blanked helps nobody."""
    text = "agent/billing/tls version 12 serial 4F:AB at proxies.example.com s.short rotator.core.decide"
    assert logs.Redactor().redact(text) == text


def test_line_is_json_with_time_level_and_logger() -> None:
    """What log shippers rely on."""
    stream = configured()
    structlog.get_logger("rotator.cycle").warning("tick was late", lag_seconds=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("tick was late", "warning", "rotator.cycle")
    assert line["timestamp"].endswith("Z")
    assert line["lag_seconds"] == 3


def test_foreign_object_is_named_by_its_type() -> None:
    """The repr of a stranger (a reply, a plain dataclass with a token) may say anything."""
    stream = configured()
    structlog.get_logger().info("reply", body=object(), secret=Secret(CANARY))
    line = json.loads(stream.getvalue())
    assert (line["body"], line["secret"]) == ("<object>", MASK)


def test_libraries_that_show_urls_stay_quiet_at_debug() -> None:
    """Vault paths are in the debug lines of urllib3."""
    stream = configured()
    logging.getLogger("urllib3.connectionpool").debug("GET /v1/kv/data/agents/billing")
    logging.getLogger("hvac.adapters").info("GET /v1/kv/data/agents/billing")
    assert stream.getvalue() == ""


def test_only_the_latest_secrets_are_kept() -> None:
    """A token that is renewed every hour for years must not fill the memory."""
    redactor = logs.Redactor(room=2)
    for number in range(3):
        redactor.know(Secret(f"renewed-token-{number}"))
    assert redactor.redact("renewed-token-0 renewed-token-1 renewed-token-2") == f"renewed-token-0 {MASK} {MASK}"
