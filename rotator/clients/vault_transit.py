"""Vault's transit engine behind `ports.Transit`: versions of a signing key that never leave Vault.

Vault paths: `<mount>/keys/<key>` (read), `<mount>/keys/<key>/rotate` (update), `<mount>/sign/<key>/sha2-256` (update).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rotator.clients.vault_calls import Ask, VaultCalls, shaped
from rotator.core.errors import Code, Denied
from rotator.ports import VerifyKey

KEY_TYPE = "ecdsa-p256"
# r and s of P-256, 32 bytes each (RFC 7518, 3.4).
SIGNATURE_BYTES = 64


class VaultTransit:
    """Thread-safe. Names of mount and key come from the checked configuration and need no quoting."""

    def __init__(self, calls: VaultCalls) -> None:
        self._calls = calls

    def verify_keys(self, mount: str, key: str) -> tuple[VerifyKey, ...]:
        path = f"{mount}/keys/{key}"
        data = self._calls.read(Ask("transit_key", path, idempotent=True))
        if data is None:
            raise Denied(Code.VAULT_NOT_CONFIGURED, f"there is no signing key at {path}", hint="run rotator bootstrap")
        if data.get("type") != KEY_TYPE:
            text = f"the key at {path} is not of type {KEY_TYPE}, which ES256 needs"
            raise Denied(Code.VAULT_NOT_CONFIGURED, text, hint="name another key in [tokens]; a type never changes")
        return shaped(path, lambda: _versions(data["keys"]))

    def rotate(self, mount: str, key: str) -> None:
        self._calls.write(Ask("transit_rotate", f"{mount}/keys/{key}/rotate"))

    def sign(self, mount: str, key: str, version: int, message: bytes) -> bytes:
        path = f"{mount}/sign/{key}/sha2-256"
        body = {
            "input": base64.b64encode(message).decode(),
            "key_version": version,
            "marshaling_algorithm": "jws",
        }
        reply = self._calls.write(Ask("transit_sign", path, body, idempotent=True))
        return shaped(path, lambda: _signature(reply["data"]["signature"], version))


def _versions(found: Mapping[str, Any]) -> tuple[VerifyKey, ...]:
    versions = sorted((int(number), one) for number, one in found.items())
    return tuple(VerifyKey(number, str(one["public_key"]), _time(one["creation_time"])) for number, one in versions)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at


def _signature(text: str, version: int) -> bytes:
    """`vault:v<version>:<base64url without padding>`."""
    _, named, encoded = text.split(":")
    raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    if named != f"v{version}" or len(raw) != SIGNATURE_BYTES:
        raise ValueError("not what was asked for")
    return raw
