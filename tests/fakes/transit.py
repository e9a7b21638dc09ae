"""Vault's transit engine in memory: real P-256 keys, and faults on demand.

`tests/kinds/test_signing_key.py` holds it to what a real OpenBao does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.core.errors import Code, Denied, Unavailable
from rotator.ports import Clock, VerifyKey

_Found = TypeVar("_Found")


class TransitCall(StrEnum):
    KEYS = "verify_keys"
    ROTATE = "rotate"
    SIGN = "sign"


class FakeTransit:
    """`ports.Transit` with one key, `transit/rotator-tokens`, at version 1. on_sign: sees (version, message) of each
    signature before it is made."""

    def __init__(self, clock: Clock) -> None:
        self.calls: list[TransitCall] = []
        self.on_sign: Callable[[int, bytes], None] = lambda version, message: None
        self._clock = clock
        self._keys: list[tuple[ec.EllipticCurvePrivateKey, VerifyKey]] = []
        self._before: list[TransitCall] = []
        self._after: list[TransitCall] = []
        self._mutex = threading.RLock()
        self._add()

    def fail(self, call: TransitCall, times: int = 1) -> None:
        """The next calls fail before any effect."""
        self._before += [call] * times

    def lose_reply(self, call: TransitCall, times: int = 1) -> None:
        """The next calls have their effect, and the caller hears nothing."""
        self._after += [call] * times

    def verify_keys(self, mount: str, key: str) -> tuple[VerifyKey, ...]:
        return self._act(TransitCall.KEYS, mount, key, lambda: tuple(public for _, public in self._keys))

    def rotate(self, mount: str, key: str) -> None:
        self._act(TransitCall.ROTATE, mount, key, self._add)

    def sign(self, mount: str, key: str, version: int, message: bytes) -> bytes:
        return self._act(TransitCall.SIGN, mount, key, lambda: self._sign(version, message))

    def _act(self, call: TransitCall, mount: str, key: str, effect: Callable[[], _Found]) -> _Found:
        with self._mutex:
            self.calls.append(call)
            if call in self._before:
                self._before.remove(call)
                raise Unavailable(Code.VAULT_UNREACHABLE, "Vault did not answer")
            if (mount, key) != ("transit", "rotator-tokens"):
                raise Denied(Code.VAULT_NOT_CONFIGURED, f"there is no signing key at {mount}/keys/{key}")
            found = effect()
            if call in self._after:
                self._after.remove(call)
                raise Unavailable(Code.VAULT_UNREACHABLE, "the reply was lost")
            return found

    def _add(self) -> None:
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self._keys.append((made, VerifyKey(len(self._keys) + 1, pem, self._clock.now())))

    def _sign(self, version: int, message: bytes) -> bytes:
        self.on_sign(version, message)
        private, _ = self._keys[version - 1]
        r, s = utils.decode_dss_signature(private.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
