"""The oauth2 kind between a real OpenBao and a real oidc-provider: one client and one credential of one test alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.oauth import HttpAuthorizationServers
from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Denied, Fault, Unavailable
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import AuthorizationServer, Grant, OAuth2Settings
from rotator.core.model import Facts, Pending, Stage, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec
from rotator.dev.servers.oauth import Client, OAuthServer
from rotator.kinds import oauth2
from rotator.kinds.base import KindPorts
from rotator.ports import KvVersion, OAuthClient, TokenReply, TokenState
from tests.assets.vault_wire import VaultWire
from tests.kinds.points import Points

# Of the tokens that the shared server makes.
LIFE = timedelta(minutes=10)


class ShiftedClock:
    """The machine's, plus `ahead`."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return SystemClock().monotonic()


class Losses:
    """`calls`: names of the calls in order. The reply of number `lost` (0: the first) is lost after its effect."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lost: int | None = None

    def reply(self, name: str) -> None:
        self.calls.append(name)
        if self.lost is not None and len(self.calls) > self.lost:
            self.lost = None
            raise Unavailable(Code.AUTHORIZATION_UNREACHABLE, "the reply was lost")


class StoreWire(VaultWire):
    """`denied`: paths that the policy does not let be written."""

    def __init__(self, admin: VaultAdmin, losses: Losses) -> None:
        super().__init__(admin)
        self._losses = losses
        self.denied = ""

    def kv_write(self, mount: str, path: str, fields: Mapping[str, Secret], cas: int) -> int:
        if path == self.denied:
            raise Denied(Code.VAULT_DENIED, "the token is good and may not write there")
        return super().kv_write(mount, path, fields, cas)

    def _reply(self, name: str) -> None:
        self._losses.reply(name)


class ServerWire:
    """The real client. `bend` changes what a token reply says; `after` runs when the server has answered and before
    the answer arrives; `silent`: the server is said to have no introspection."""

    def __init__(self, losses: Losses) -> None:
        self._real, self._losses = HttpAuthorizationServers(SystemClock()), losses
        self.bend: Callable[[TokenReply], TokenReply] = lambda reply: reply
        self.after: Callable[[], None] = lambda: None
        self.silent = False

    def impatient(self, timeout: timedelta) -> None:
        self._real = HttpAuthorizationServers(SystemClock(), timeout)

    def client_credentials(self, client: OAuthClient, scope: str) -> TokenReply:
        return self._bent("client_credentials", lambda: self._real.client_credentials(client, scope))

    def refresh(self, client: OAuthClient, refresh_token: Secret, scope: str) -> TokenReply:
        return self._bent("refresh", lambda: self._real.refresh(client, refresh_token, scope))

    def introspect(self, client: OAuthClient, token: Secret) -> TokenState | None:
        found = None if self.silent else self._real.introspect(client, token)
        self._losses.reply("introspect")
        return found

    def revoke(self, client: OAuthClient, token: Secret) -> bool:
        done = self._real.revoke(client, token)
        self._losses.reply("revoke")
        return done

    def _bent(self, name: str, ask: Callable[[], TokenReply]) -> TokenReply:
        reply = ask()
        self.after()
        self._losses.reply(name)
        return self.bend(reply)


@dataclass
class Room:
    """The kind for one credential with a client named after `unique`."""

    admin: VaultAdmin
    server: OAuthServer
    unique: str
    grant: Grant = Grant.CLIENT_CREDENTIALS

    def __post_init__(self) -> None:
        self.client = Client(self.unique, Secret(f"secret-of-{self.unique}: 100%"))
        self.server.set_client(self.client)
        self.client_path = f"clients/{self.unique}"
        self.consent()
        where = AuthorizationServer(self.server.issuer, self.server.ca_file)
        scope = "orders:read" if self.grant is Grant.CLIENT_CREDENTIALS else "openid"
        owner = CredentialId(Owner(OwnerKind.AGENT, self.unique), "api")
        settings = OAuth2Settings(where, self.grant, self.client.id, self.client_path, scope)
        self.spec = Spec(owner, "oauth2", LIFE, "kv", f"agents/{self.unique}/api", settings, Policy(), "d" * 64)
        self.held_path = f"oauth2/{self.unique}/api"
        self.who = OAuthClient(where, self.client.id, self.client.secret)
        self.losses = Losses()
        self.wire, self.servers = StoreWire(self.admin, self.losses), ServerWire(self.losses)
        self.points, self.clock = Points(), ShiftedClock()
        self.kind = oauth2.build(KindPorts(self.wire, self.clock, self.points, authorization=self.servers))

    def consent(self) -> None:
        """A person grants it, and what that brings is put where the service reads it."""
        fields = {"client_secret": self.client.secret.reveal()}
        if self.grant is Grant.REFRESH_TOKEN:
            fields["refresh_token"] = self.server.mint_refresh_token(self.client.id).reveal()
        self.admin.write(f"kv/data/{self.client_path}", {"data": fields})

    def want(self, **changes: object) -> None:
        self.spec = replace(self.spec, **changes)  # type: ignore[arg-type]

    def pending(self, version: int = 1) -> Pending:
        at = self.clock.now()
        return Pending(version, rotation_id(self.spec.id, version, at), Stage.INTENDED, Cause(Reason.DUE), at)

    def issue(self, version: int, stored_version: int) -> Facts:
        """A whole issue without trouble."""
        facts = self.kind.issue(self.spec, self.pending(version), stored_version, read_back=False).facts
        self.kind.verify(self.spec, facts)
        return facts

    def newest(self) -> int:
        state = self.wire.kv_state("kv", self.spec.kv_path)
        return state.current_version if state else 0

    def stored(self, facts: Facts) -> KvVersion:
        found = self.wire.kv_read("kv", facts.kv_path, facts.kv_version)
        assert found is not None
        return found

    def token(self, facts: Facts) -> Secret:
        return self.stored(facts).fields["access_token"]

    def held(self, field: str) -> Secret:
        """Of the newest version that is held."""
        found = self.wire.kv_read("kv", self.held_path)
        assert found is not None
        return found.fields[field]

    def tokens_asked_for(self) -> int:
        return len([name for name in self.losses.calls if name in ("client_credentials", "refresh")])

    def accepts(self, token: Secret) -> bool:
        return self.server.is_active(self.client.id, self.client.secret, token)

    def use_as_a_stranger(self, refresh_token: Secret) -> None:
        """Whoever has it and the client's secret can."""
        HttpAuthorizationServers(SystemClock()).refresh(self.who, refresh_token, "")


MakeRoom = Callable[[Grant], Room]


def refused(call: Callable[[], object], family: type[Fault], code: Code) -> Fault:
    """The Fault that a call must end in."""
    with pytest.raises(family) as raised:
        call()
    assert raised.value.code is code
    return raised.value
