"""A street with tokens: two proxies with a node each, that take documents when the test lets them.

Two things are watched all the time: nothing is signed with a key that some node does not know, and every node knows
the key of every token that has not run out.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.core.events import Requested
from rotator.core.fleet import Fleet
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import JwtSettings, ScopeClaim, SigningKeySettings
from rotator.core.model import Request
from rotator.core.reasons import Cause, Reason
from rotator.core.spec import Policy, Spec
from rotator.publish import report as reports
from rotator.publish.document import Document
from rotator.publish.report import NodeState, Running
from tests.assets.fleet import DOMAIN

from .world import ALICE, Instance, Street, agent, other_proxy, proxy

SIGNER = CredentialId.parse("signer/tokens/key")
TOKEN = CredentialId.parse("agent/billing/token")
PROXIES = ("edge", "west")
TOKEN_TTL, KEY_TTL = timedelta(minutes=10), timedelta(hours=3)
OVERLAP = TOKEN_TTL + timedelta(minutes=1)
MINUTE = timedelta(minutes=1)


class Killed(BaseException):
    """The process died: nothing may catch this."""


class Deadly:
    """`ports.Failpoint` that kills at the failpoint number `deadly` that it reaches (0: the first)."""

    def __init__(self, deadly: int) -> None:
        self.left = deadly
        self.at = ""

    def reach(self, point: str, target: str) -> None:
        self.left -= 1
        if self.left == -1:
            self.at = f"{point} of {target}"
            raise Killed(self.at)


def signer_spec(ttl: timedelta = KEY_TTL) -> Spec:
    policy = Policy(overlap=OVERLAP, overlap_from_adoption=True)
    settings = SigningKeySettings("transit", "rotator-tokens", TOKEN_TTL)
    return Spec(SIGNER, "signing_key", ttl, "kv", "signers/tokens/key", settings, policy, "k" * 64)


def token_spec() -> Spec:
    scopes = (ScopeClaim("edge", "/orders", "prefix", ("GET",), "read"),)
    subject = f"spiffe://{DOMAIN}/agent/billing"
    settings = JwtSettings(SIGNER, "transit", "rotator-tokens", f"spiffe://{DOMAIN}", subject, ("edge",), scopes)
    return Spec(TOKEN, "jwt", TOKEN_TTL, "kv", "agents/billing/token", settings, Policy(), "t" * 64)


def token_fleet() -> Fleet:
    billing = agent("billing", ttl=timedelta(hours=2))
    with_token = replace(billing, credentials=(*billing.credentials, token_spec()))
    return Fleet(DOMAIN, (with_token,), (proxy(nodes=("n1",)), replace(other_proxy(), nodes=("n1",))), (signer_spec(),))


@dataclass(frozen=True, slots=True)
class Token:
    """One that was signed, whether it was stored or not."""

    kid: str
    jti: str
    ends: datetime


class TokenStreet(Street):
    """lagging: proxies whose node takes no document."""

    def __init__(self) -> None:
        super().__init__(token_fleet())
        self.tokens: list[Token] = []
        self.untimely: list[str] = []  # an assertion inside of a kind would only become one more failure to retry
        self.lagging: set[str] = set()
        self.applied: dict[str, Document] = {}
        self.transit.on_sign = self._signed

    def run(self, one: Instance, rounds: int = 3) -> None:
        """Service and nodes in turn, as in the few seconds after something has become due."""
        for _ in range(rounds):
            one.settle()
            self.follow()
            self.check()

    def live(self, one: Instance, minutes: int) -> None:
        for _ in range(minutes):
            self.clock.advance(MINUTE)
            self.run(one)
            self.use()

    def follow(self) -> None:
        """Every node that does not lag takes the document in force and says so."""
        for name in PROXIES:
            pointer, _ = self.shelf.pointer(name)
            if pointer is not None and name not in self.lagging:
                self.applied[name] = self.shelf.document(name, pointer.version)
            if name in self.applied:
                self._report(name, self.applied[name])

    def use(self) -> None:
        """The agent's consumer runs its newest credentials."""
        found: dict[str, Running] = {}
        for target in (TOKEN, CredentialId(TOKEN.owner, "tls")):
            current = self.record(target).current
            if current is not None:
                found[target.name] = Running(current.version, current.serial, current.fingerprint)
        report = reports.Report("a1", self.clock.now(), NodeState.APPLIED, 0, "", found)
        self.consul.put(self.layout.node(TOKEN.owner, "a1"), reports.encode(report))

    def check(self) -> None:
        """Every node knew the key of every signature when it was made, and knows it while the token may be used."""
        assert not self.untimely, "signed with a key that a node does not know"
        now = self.clock.now()
        for token in self.tokens:
            if token.ends > now:
                assert all(token.kid in self.kids(name) for name in PROXIES), token

    def kids(self, proxy: str) -> set[str]:
        """The verify keys that the node of a proxy runs."""
        document = self.applied.get(proxy)
        keys: list[dict[str, str]] = document.content["trust"]["jwks"]["keys"] if document else []
        return {key["kid"] for key in keys}

    def kid(self) -> str:
        """Of the token in force."""
        current = self.record(TOKEN).current
        assert current is not None
        return dict(current.details)["kid"]

    def compromise(self, one: Instance, target: CredentialId) -> None:
        """A report of compromise, as the inbox writes it down."""
        now = self.clock.now()
        request = Request("r-compromise", "it was seen elsewhere", ALICE, now, compromise=True)
        cause = Cause(Reason.COMPROMISE, request.reason, (), ALICE, request.id)
        one.reign.advance.write({target: (Requested(now, target, cause, request),)}, one.reign.fence)
        one.reign.touch([target])

    def end(self, one: Instance) -> None:
        """The lock of a dead process runs out."""
        entry = self.consul.entries.get(self.layout.lock)
        if entry is not None and entry.session:
            self.consul.destroy_session(entry.session)
        self.clock.advance(timedelta(seconds=20))

    def _signed(self, version: int, message: bytes) -> None:
        if not message.startswith(b"eyJ"):
            return
        header, claims = (_json(part) for part in message.decode().split("."))
        self.untimely += [f"{header['kid']} at {name}" for name in PROXIES if header["kid"] not in self.kids(name)]
        self.tokens.append(Token(header["kid"], claims["jti"], datetime.fromtimestamp(claims["exp"], UTC)))

    def _report(self, name: str, document: Document) -> None:
        found = {
            signer: Running(f["version"], f["serial"], f["fingerprint"]) for signer, f in document.signers().items()
        }
        for key, facts in document.certificates().items():
            found[key] = Running(facts["version"], facts["serial"], facts["fingerprint"])
        report = reports.Report("n1", self.clock.now(), NodeState.APPLIED, 1, document.digest, found)
        self.consul.put(self.layout.node(Owner(OwnerKind.PROXY, name), "n1"), reports.encode(report))


def _json(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
