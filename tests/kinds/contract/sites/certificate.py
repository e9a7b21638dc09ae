"""Certificates: accepted by a TLS server that asks for one and trusts the root of the PKI."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from rotator.clients.vault_pki import VaultPki
from rotator.core.identity import OwnerKind
from rotator.core.kind_settings import CertificateSettings
from rotator.core.model import Facts
from rotator.core.spec import Spec
from rotator.ports import CertificateMaterial, CertificateRequest
from tests.assets.fleet import spec as make_spec
from tests.kinds.contract.site import Material, Site


class CertificateSite(Site):
    """Key made by Vault. A certificate that was issued and never stored is no orphan: its key is nowhere."""

    label = kind = "certificate"
    repeats = ("secrets.issue_certificate",)
    ends_by_revoke = False  # this server asks no CRL

    def sockets(self) -> Mapping[str, Any]:
        return {"pki": VaultPki(self.ground.secrets.calls)}

    def spec(self, name: str) -> Spec:
        return make_spec(OwnerKind.AGENT, name, timedelta(hours=1))

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        folder = self.ground.folder
        issued = self._issued(make_spec(OwnerKind.PROXY, "edge"))
        names = ("private_key", "certificate", "chain")
        root = _file(folder / "root.pem", issued.chain[-1])
        server_pem = "\n".join((issued.private_key.reveal(), issued.certificate, *issued.chain))
        client_pem = "\n".join(material[name].reveal() for name in names)
        try:
            server = _context(ssl.PROTOCOL_TLS_SERVER, _file(folder / "server.pem", server_pem), root)
            client = _context(ssl.PROTOCOL_TLS_CLIENT, _file(folder / "client.pem", client_pem), root)
        except ssl.SSLError:
            return False
        return _shake(server, client)

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> Material:
        """The key of another certificate."""
        return {"private_key": self._issued(spec).private_key}

    def _issued(self, spec: Spec) -> CertificateMaterial:
        want = spec.settings
        assert isinstance(want, CertificateSettings)
        return self.ground.secrets.issue_certificate(
            CertificateRequest(
                want.mount, want.role, want.common_name, want.uri_sans, want.dns_sans, want.ip_sans, spec.ttl
            )
        )


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _context(side: int, pem: Path, root: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.load_cert_chain(pem)
    context.load_verify_locations(root)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """A whole handshake in memory; False when either side refuses."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(up, down, server_side=True), client.wrap_bio(down, up, server_hostname="localhost")]
    for _ in range(10):
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            ends.remove(end)
        if not ends:
            return True
    return False


class LocalKeySite(CertificateSite):
    """Key made by the service, signed by Vault: a source that repeats itself signs another key, which `issue` sees."""

    label = "certificate local key"
    repeats = ()

    def spec(self, name: str) -> Spec:
        made = super().spec(name)
        assert isinstance(made.settings, CertificateSettings)
        return replace(made, settings=replace(made.settings, local_key=True))


SITES = (CertificateSite, LocalKeySite)
