"""Access tokens by client credentials: accepted by a resource server that asks a real oidc-provider.

The refresh grant has no site here: a server that replaces refresh tokens answers a lost reply with the end of the
grant, by its own rules. tests/kinds/test_oauth2.py shows what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rotator.clients.clock import SystemClock
from rotator.clients.oauth import HttpAuthorizationServers
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import AuthorizationServer, Grant, OAuth2Settings
from rotator.core.model import Facts
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec
from rotator.dev.servers.oauth import Client, OAuthServer
from rotator.kinds.oauth2 import ACCESS_TOKEN
from rotator.ports import OAuthClient
from tests.assets.servers import or_missing
from tests.kinds.contract.site import Ground, Material, Site

# Characters that a basic login must encode (RFC 6749, 2.3.1).
CLIENT = Client("contract-client", Secret("a secret: 100% +/&="))
LIFE = timedelta(hours=1)


class ClientCredentialsSite(Site):
    """A token whose reply was lost is known to nobody and expires by itself: that is no orphan one could sweep."""

    label = kind = "oauth2"
    repeats = ("authorization.client_credentials",)

    def __init__(self, ground: Ground, server: OAuthServer) -> None:
        super().__init__(ground)
        self._server = server
        self._client = HttpAuthorizationServers(SystemClock())
        self._where = AuthorizationServer(server.issuer, server.ca_file)

    @classmethod
    @contextmanager
    def opened(cls, ground: Ground) -> Iterator[Site]:
        seconds = int(LIFE.total_seconds())
        with or_missing(lambda: OAuthServer.start(ground.folder / "server", (CLIENT,), seconds)) as server:
            yield cls(ground, server)

    def spec(self, name: str) -> Spec:
        path = f"clients/{name}"
        self.ground.admin.write(f"kv/data/{path}", {"data": {"client_secret": CLIENT.secret.reveal()}})
        owner = CredentialId(Owner(OwnerKind.AGENT, name), "api")
        settings = OAuth2Settings(self._where, Grant.CLIENT_CREDENTIALS, CLIENT.id, path, "orders:read")
        return Spec(owner, "oauth2", LIFE, "kv", f"agents/{name}/api", settings, Policy(), "d" * 64)

    def sockets(self) -> Mapping[str, Any]:
        return {"authorization": self._client}

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        return self._server.is_active(CLIENT.id, CLIENT.secret, material[ACCESS_TOKEN])

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> None:
        """Ends it at its source."""
        who = OAuthClient(self._where, CLIENT.id, CLIENT.secret)
        assert self._client.revoke(who, material[ACCESS_TOKEN])


SITES = (ClientCredentialsSite,)
