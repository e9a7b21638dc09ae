"""Vault's PKI beyond `issue`, behind `ports.Pki`.

Vault paths: `<mount>/sign/<role>` update, `<mount>/revoke-with-key` update, `<mount>/crl/rotate` read.
"""

from __future__ import annotations

from rotator.clients.vault_calls import Ask, VaultCalls, shaped
from rotator.clients.vault_errors import malformed
from rotator.core.errors import Code, Rejected
from rotator.core.secret import Secret
from rotator.ports import SignRequest

_REVOKED = "already revoked"


class VaultPki:
    """Thread-safe."""

    def __init__(self, calls: VaultCalls) -> None:
        self._calls = calls

    def sign(self, request: SignRequest) -> tuple[str, tuple[str, ...]]:
        wanted = request.wanted
        path = f"{wanted.mount}/sign/{wanted.role}"
        body = {
            "csr": request.csr,
            "common_name": wanted.common_name,
            "uri_sans": ",".join(wanted.uri_sans),
            "alt_names": ",".join(wanted.dns_sans),
            "ip_sans": ",".join(wanted.ip_sans),
            "exclude_cn_from_sans": True,
            "ttl": f"{int(wanted.ttl.total_seconds())}s",
        }
        reply = self._calls.write(Ask("sign", path, body))
        return shaped(path, lambda: _signed(reply["data"]))

    def revoke_with_key(self, mount: str, certificate: str, private_key: Secret) -> None:
        """Also rebuilds the CRL: with `auto_rebuild` a revocation would wait for the next turn (OpenBao 2.7)."""
        path = f"{mount}/revoke-with-key"
        body = {"certificate": certificate, "private_key": private_key.reveal()}
        reply = self._calls.try_write(Ask("revoke", path, body, idempotent=True))
        if not reply.ok and not reply.says(_REVOKED):
            if reply.status in (400, 500):
                # A key that does not fit is a 500 here, not an outage (measured).
                text = f"Vault does not revoke at {path}"
                raise Rejected(
                    Code.MATERIAL_REJECTED, text, hint="the certificate is denied at the proxies all the same"
                )
            self._calls.write(Ask("revoke", path, body, idempotent=True))
        self._calls.read(Ask("crl_rotate", f"{mount}/crl/rotate", idempotent=True))

    def crl(self, mount: str) -> str:
        """Open to everybody; the JSON form, because the plain one is no JSON."""
        path = f"{mount}/cert/crl"
        data = self._calls.read(Ask("crl", path, idempotent=True))
        text = str((data or {}).get("certificate", ""))
        if "-----BEGIN X509 CRL-----" not in text:
            raise malformed(path)
        return text.strip() + "\n"


def _signed(data: dict[str, object]) -> tuple[str, tuple[str, ...]]:
    chain = data.get("ca_chain") or [data["issuing_ca"]]
    if not isinstance(chain, list):
        raise TypeError
    return str(data["certificate"]), tuple(str(pem) for pem in chain)
