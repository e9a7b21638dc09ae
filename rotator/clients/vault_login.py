"""The life of our own Vault token: log in, renew, log in anew before it ends, replace it when it dies early.

The traps this answers: a token past its max TTL is renewed to ever shorter lives (200 with a warning); a 403 on renew
is no reason to ask again at once (hashicorp/vault PR #26844); many threads that find a dead token must not all log in;
an outage of Vault must not become a login storm; and a token that somebody revoked must heal without a restart.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rotator.clients.vault_adapter import VaultTransport
from rotator.clients.vault_credentials import Credentials
from rotator.clients.vault_errors import TokenState, VaultReply, login_refusal, malformed, refusal, token_state
from rotator.clients.vault_options import AuthOptions
from rotator.core.errors import Code, Denied, Fault, Unavailable
from rotator.core.secret import Secret
from rotator.ports import Clock

RENEW_AT = 2 / 3
# A lease that came back this much shorter than the one before is near its max TTL.
SHRUNK = 0.9
# Between two looks at a token, however short its life.
FLOOR = 1.0
BACKOFF_FIRST, BACKOFF_CAP = 1.0, 60.0
# Calls in flight may still carry the old token.
GRACE = 30.0
# A token that may not look at itself cannot be told from a dead one: logins for its sake are this far apart.
BLIND_PAUSE = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class _Held:
    """obtained, due, ends: monotonic seconds; due and ends None for a token without end. askable: it may look at
    itself, so that a 403 to that question means death."""

    secret: Secret
    obtained: float
    lease: float
    renewable: bool
    askable: bool
    due: float | None
    ends: float | None
    ends_at: datetime | None


class VaultLogin:
    """Thread-safe. One login or renewal at a time; who can go on with the token at hand does not wait for it."""

    def __init__(self, transport: VaultTransport, auth: AuthOptions, clock: Clock) -> None:
        self._transport = transport
        self._credentials = Credentials(auth, transport)
        self._mount = auth.mount
        self._clock = clock
        self._work = threading.Lock()
        self._held: _Held | None = None
        self._old: list[tuple[float, Secret]] = []
        self._failed = 0
        self._not_before = 0.0
        self._failure: Fault | None = None

    def token(self) -> Secret:
        """The token to use now; logs in or renews when that is due. Raises Fault when there is none."""
        held = self._held
        if held is not None and not self._is_due(held):
            return held.secret
        usable = held is not None and not self._has_ended(held)
        if not self._work.acquire(blocking=not usable) and held is not None:
            return held.secret
        try:
            self._keep()
        except Fault:
            # A failed renewal costs nothing while the token lives; it is tried again after a pause.
            if not usable:
                raise
        finally:
            self._work.release()
        return self._current().secret

    def upkeep(self) -> None:
        """What is due: login, renewal, the end of replaced tokens. Cheap when nothing is. Raises the Fault it met."""
        with self._work:
            self._revoke_old()
            self._keep()

    def after_denial(self, used: Secret, path: str) -> None:
        """Called after a 403: returns when another try is worth it (with a new token), else raises.

        Raises Denied (VAULT_DENIED) when the token is good, whatever a needed login raises, and Unavailable.
        """
        with self._work:
            held = self._held
            if held is None or held.secret is not used:
                self._keep()
                return
            state = self._ask(held)
            if state is TokenState.ALIVE:
                raise refusal(VaultReply(403, {}), path)
            if state is TokenState.UNKNOWN:
                text = f"Vault refused {path} and cannot say now whether the token is alive"
                raise Unavailable(Code.VAULT_ERROR, text)
            now = self._clock.monotonic()
            if not held.askable and now - held.obtained < BLIND_PAUSE:
                raise refusal(VaultReply(403, {}), path)
            self._held = None
            self._keep()

    def expires_at(self) -> datetime | None:
        """End of the token's life, UTC; None without a token and for a token without end."""
        held = self._held
        return None if held is None else held.ends_at

    def close(self) -> None:
        """Revokes what we logged in for, as far as Vault answers."""
        with self._work:
            held, self._held = self._held, None
            if held is not None and not self._credentials.is_given_token:
                self._old.append((0.0, held.secret))
            self._revoke_old(everything=True)

    def _keep(self) -> None:
        held = self._held
        if held is not None and not self._is_due(held):
            return
        self._respect_pause()
        try:
            if held is None or self._has_ended(held) or not held.renewable:
                self._log_in()
            else:
                self._renew(held)
        except Fault as fault:
            self._pause(fault)
            raise
        self._failed, self._failure = 0, None

    def _log_in(self) -> None:
        old = self._held
        new = self._adopt_given() if self._credentials.is_given_token else self._fresh()
        self._held = new
        if old is not None and old.secret is not new.secret and not self._credentials.is_given_token:
            self._old.append((self._clock.monotonic() + GRACE, old.secret))

    def _fresh(self) -> _Held:
        request = self._credentials.request()
        begun = self._clock.monotonic()
        reply = self._transport.send("login", "POST", request.path, request.body)
        if not reply.ok:
            raise login_refusal(reply, self._mount)
        auth = _auth(reply, request.path)
        held = self._held_from(Secret(str(auth["client_token"])), auth, begun)
        return replace(held, askable=self._ask(held) is not TokenState.DEAD)

    def _adopt_given(self) -> _Held:
        """A token that was handed to us: its life is learnt by asking."""
        secret = self._credentials.given_token()
        begun = self._clock.monotonic()
        reply = self._transport.send("lookup_self", "GET", "auth/token/lookup-self", token=secret, idempotent=True)
        if reply.status == 403:
            raise Denied(
                Code.VAULT_LOGIN_REFUSED,
                "Vault does not accept the token that is configured",
                hint="it is wrong, expired or revoked, or may not use auth/token/lookup-self: hand out a new one",
            )
        if not reply.ok:
            raise refusal(reply, "auth/token/lookup-self")
        data = (reply.body or {}).get("data")
        if not isinstance(data, Mapping):
            raise malformed("auth/token/lookup-self")
        about = {"lease_duration": data.get("ttl"), "renewable": data.get("renewable")}
        return self._held_from(secret, about, begun)

    def _renew(self, held: _Held) -> None:
        begun = self._clock.monotonic()
        reply = self._transport.send("renew_self", "POST", "auth/token/renew-self", {}, held.secret, idempotent=True)
        if reply.ok:
            auth = _auth(reply, "auth/token/renew-self")
            new = self._held_from(held.secret, auth, begun)
            near_the_end = bool(new.lease) and new.lease < held.lease * SHRUNK
            # The longest lease seen is kept as the measure, or a slow shrinking would go unnoticed.
            lease = max(new.lease, held.lease)
            self._held = replace(new, lease=lease, renewable=new.renewable and not near_the_end, askable=held.askable)
            return
        if reply.status not in (400, 403):
            raise refusal(reply, "auth/token/renew-self")
        if held.askable and self._ask(held) is TokenState.DEAD:
            self._held = None
            self._log_in()
            return
        self._held = replace(held, renewable=False, due=self._due_of_rest(held))

    def _due_of_rest(self, held: _Held) -> float | None:
        if held.ends is None:
            return None
        now = self._clock.monotonic()
        return now + max((held.ends - now) * RENEW_AT, FLOOR)

    def _held_from(self, secret: Secret, about: Mapping[str, Any], begun: float) -> _Held:
        """`begun`: when it was asked for, so that the life is never overrated."""
        try:
            lease = float(about["lease_duration"] or 0)
        except (KeyError, TypeError, ValueError):
            raise malformed("auth") from None
        endless = lease <= 0
        spent = self._clock.monotonic() - begun
        return _Held(
            secret=secret,
            obtained=begun,
            lease=lease,
            renewable=about.get("renewable") is True,
            askable=True,
            due=None if endless else begun + max(lease * RENEW_AT, FLOOR),
            ends=None if endless else begun + lease,
            ends_at=None if endless else self._clock.now() + timedelta(seconds=lease - spent),
        )

    def _ask(self, held: _Held) -> TokenState:
        """UNKNOWN when Vault does not say."""
        try:
            reply = self._transport.send(
                "lookup_self", "GET", "auth/token/lookup-self", token=held.secret, idempotent=True
            )
        except Unavailable:
            return TokenState.UNKNOWN
        return token_state(reply)

    def _revoke_old(self, everything: bool = False) -> None:
        """One try each: a token that could not be revoked ends with its TTL."""
        now = self._clock.monotonic()
        due = [secret for at, secret in self._old if everything or at <= now]
        self._old = [] if everything else [(at, secret) for at, secret in self._old if at > now]
        for secret in due:
            try:
                self._transport.send("revoke_self", "POST", "auth/token/revoke-self", {}, secret)
            except Fault:
                continue

    def _respect_pause(self) -> None:
        if self._failure is not None and self._clock.monotonic() < self._not_before:
            known = self._failure
            raise type(known)(known.code, known.text, hint=known.hint)

    def _pause(self, fault: Fault) -> None:
        delay = min(BACKOFF_FIRST * 2 ** min(self._failed, 16), BACKOFF_CAP)
        self._failed += 1
        self._failure = fault
        # Spread, so that a fleet of followers does not come back in one moment.
        self._not_before = self._clock.monotonic() + delay * random.uniform(0.75, 1.25)  # noqa: S311 - no secret

    def _is_due(self, held: _Held) -> bool:
        return held.due is not None and self._clock.monotonic() >= held.due

    def _has_ended(self, held: _Held) -> bool:
        return held.ends is not None and self._clock.monotonic() >= held.ends

    def _current(self) -> _Held:
        held = self._held
        if held is None:
            raise Unavailable(Code.VAULT_ERROR, "the token has just been given up", hint="try again")
        return held


def _auth(reply: VaultReply, path: str) -> Mapping[str, Any]:
    auth = (reply.body or {}).get("auth")
    if not isinstance(auth, Mapping) or not auth.get("client_token"):
        raise malformed(path)
    return auth
