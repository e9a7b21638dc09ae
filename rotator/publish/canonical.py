"""One spelling for one value: canonical JSON and its digest, so that equal content never looks like a change."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rotator.core.errors import Code, Rejected


def encode(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8, no floats that are not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(body: bytes, what: str) -> dict[str, Any]:
    """A JSON object, or Rejected with `what` in the message; the body itself never enters a message."""
    try:
        value = json.loads(body)
    except ValueError:
        raise Rejected(Code.DOCUMENT_CORRUPT, f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise Rejected(Code.DOCUMENT_CORRUPT, f"{what} is not a JSON object")
    return value


def digest(body: bytes) -> str:
    """SHA-256, lower-case hex."""
    return hashlib.sha256(body).hexdigest()
