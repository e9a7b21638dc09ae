"""The operational log: structlog to stderr, one wall of care and a second one of redaction.

The first wall is that secrets are `Secret` and never handed to the log. The second one looks at every finished line,
including tracebacks and what libraries log: known secret values in any usual spelling, and what looks like a token or
a key. Tracebacks never show local variables: structlog shows them by default, and they hold tokens.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO, cast
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from rotator.core.secret import MASK, Secret

# HashiCorp Vault and OpenBao token shapes (hvs., hvb., hvr. and the older s., b., r.), Standard Webhooks secrets,
# PEM blocks (complete or cut off), JWTs, and bearer headers.
PATTERNS: tuple[re.Pattern[str], ...] = (
    re.compile(r"\bhv[sbr]\.[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?<![\w.])[sbr]\.[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{8,}"),
    re.compile(r"-----BEGIN [A-Z0-9 ]+-----(?:[^\"]*?-----END [A-Z0-9 ]+-----|[A-Za-z0-9+/=\s\\]*)"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
)
QUIET = ("urllib3", "hvac", "requests", "apscheduler", "uvicorn", "asyncio", "consul")
_SHORTEST = 8  # shorter values would blank ordinary words


class Redactor:
    """Replaces known secret values and look-alikes in finished text.

    `know` is for the few long-lived secrets of this process (its tokens, hook secrets); only the latest `room` are
    kept, so that it does not grow.
    """

    def __init__(self, room: int = 64) -> None:
        self._known: deque[tuple[str, ...]] = deque(maxlen=room)

    def know(self, secret: Secret) -> None:
        text = secret.reveal()
        if len(text) >= _SHORTEST:
            self._known.append(_spellings(text))

    def redact(self, text: str) -> str:
        for spellings in tuple(self._known):
            for spelling in spellings:
                text = text.replace(spelling, MASK)
        for pattern in PATTERNS:
            text = pattern.sub(MASK, text)
        return text


def _spellings(text: str) -> tuple[str, ...]:
    """As it is, and as it looks in JSON, in JSON inside a line of JSON or a repr, in a URL, in base64 and in hex."""
    raw, quoted = text.encode(), json.dumps(text)[1:-1]
    coded = (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), raw.hex())
    escaped = (quoted, json.dumps(quoted)[1:-1], repr(text)[1:-1], repr(quoted)[1:-1])
    return tuple(dict.fromkeys((text, *escaped, quote(text, safe=""), *coded)))


def configure(redactor: Redactor, *, level: str = "info", style: str = "json", stream: TextIO | None = None) -> None:
    """Sets up structlog and the standard library's logging for the whole process; may be called again.

    style: `json` (one object per line) or `console`. Libraries that show URLs or paths when they talk stay at WARNING
    whatever `level` says.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _listen(redactor, shared, style, stream or sys.stderr)
    logging.getLogger().setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    # Else a failing handler prints the record with its arguments to stderr, past the redaction.
    logging.raiseExceptions = False


def _listen(redactor: Redactor, shared: list[Processor], style: str, stream: TextIO) -> None:
    """One handler for everything: ours and the libraries' lines pass the same redaction."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(style),
                _last(redactor),
            ],
        )
    )
    logging.getLogger().handlers[:] = [handler]


def install_last_resort(note: Callable[[str], None]) -> None:
    """Uncaught exceptions reach `note` as their type alone: their text may carry a reply body."""

    def hook(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        note(f"{kind.__module__}.{kind.__qualname__}")

    sys.excepthook = hook


def _renderers(style: str) -> list[Processor]:
    if style == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        return [cast("Processor", renderer)]
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
    return [structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer(default=_safe)]


def _safe(value: Any) -> str:
    """What JSON does not know is named by its type: the text of a foreign object may hold anything."""
    return MASK if isinstance(value, Secret) else f"<{type(value).__name__}>"


def _last(redactor: Redactor) -> Processor:
    def redact(logger: WrappedLogger, method: str, line: EventDict) -> str:
        return redactor.redact(cast("str", line))

    return redact
