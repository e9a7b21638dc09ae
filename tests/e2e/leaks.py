"""Finds a secret wherever it may have got to, in any spelling that a log or a protocol would give it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# OpenBao's and Vault's tokens: those that the processes got at their logins are known to nobody else.
_TOKEN = re.compile(rb"(?<![A-Za-z0-9.])(?:s|b|r|hvs|hvb|hvr)\.[A-Za-z0-9_-]{24,}")
_BREAKS = re.compile(rb"\\r|\\n|[\r\n]")
SHORTEST = 16


def spellings(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """(name of the form, bytes to search for)."""
    text = secret.decode("latin-1")
    yield "raw", secret
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    yield "url", quote(secret, safe="").encode()
    yield "form", quote_plus(secret).encode()
    yield "json", json.dumps(text)[1:-1].encode()
    yield "repr", repr(secret)[2:-1].encode()
    for shift in range(3):
        # What stays the same whatever stands before and after it in the encoded text.
        whole = base64.b64encode(b"\0" * shift + secret)
        middle = whole[4 if shift else 0 : len(whole) - 4]
        yield f"base64+{shift}", middle
        yield f"base64url+{shift}", middle.replace(b"+", b"-").replace(b"/", b"_")


def key_bytes(pem: str) -> bytes:
    """The private number itself: part of every form in which an EC key can be written down."""
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers().private_value.to_bytes(key.key_size // 8, "big")


def leaks(secrets: Mapping[str, bytes], places: Mapping[str, bytes]) -> list[str]:
    """`secret as form in place` for each hit; the secret itself is not repeated."""
    assert all(len(secret) >= SHORTEST for secret in secrets.values())
    found = []
    wanted = [(name, form, text) for name, secret in secrets.items() for form, text in spellings(secret)]
    for place, content in places.items():
        both = content + b"\0" + _BREAKS.sub(b"", content)
        found += [f"{name} as {form} in {place}" for name, form, text in wanted if text in both]
        found += [f"something like a token in {place}" for _ in _TOKEN.findall(content)]
    return found
