"""The socket `Secrets` straight over a real server, with replies that get lost on demand: the effect has happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Conflict, Denied, Unavailable
from rotator.core.secret import Secret
from rotator.ports import CertificateMaterial, CertificateRequest, KvState, KvVersion


class VaultWire:
    """`lose_next`: name of the method whose next reply is lost. `calls`: names of the methods called."""

    def __init__(self, admin: VaultAdmin) -> None:
        self._admin = admin
        self.lose_next = ""
        self.calls: list[str] = []

    def issue_certificate(self, request: CertificateRequest) -> CertificateMaterial:
        body = {
            "common_name": request.common_name,
            "uri_sans": ",".join(request.uri_sans),
            "alt_names": ",".join(request.dns_sans),
            "ip_sans": ",".join(request.ip_sans),
            "exclude_cn_from_sans": True,
            "ttl": f"{int(request.ttl.total_seconds())}s",
        }
        data = self._admin.write(f"{request.mount}/issue/{request.role}", body)
        self._reply("issue_certificate")
        return CertificateMaterial(data["certificate"], tuple(data["ca_chain"]), Secret(data["private_key"]))

    def kv_read(self, mount: str, path: str, version: int | None = None) -> KvVersion | None:
        data = self._admin.read(f"{mount}/data/{path}?version={version or 0}")
        self._reply("kv_read")
        if data is None:
            return None
        about = data["metadata"]
        fields = {name: Secret(text) for name, text in data["data"].items()}
        return KvVersion(about["version"], datetime.fromisoformat(about["created_time"]), fields)

    def kv_state(self, mount: str, path: str) -> KvState | None:
        data = self._admin.read(f"{mount}/metadata/{path}")
        self._reply("kv_state")
        if data is None:
            return None
        gone = (number for number, one in data["versions"].items() if one["destroyed"] or one["deletion_time"])
        return KvState(data["current_version"], tuple(map(int, data["versions"])), tuple(map(int, gone)))

    def kv_write(self, mount: str, path: str, fields: Mapping[str, Secret], cas: int) -> int:
        body = {"options": {"cas": cas}, "data": {name: secret.reveal() for name, secret in fields.items()}}
        try:
            written = self._admin.write(f"{mount}/data/{path}", body)
        except Denied:
            raise Conflict(Code.KV_CONFLICT, "another version is there") from None
        self._reply("kv_write")
        return int(written["version"])

    def kv_destroy(self, mount: str, path: str, versions: Sequence[int]) -> None:
        self._admin.write(f"{mount}/destroy/{path}", {"versions": list(versions)})
        self._reply("kv_destroy")

    def ca_chain(self, mount: str) -> tuple[str, ...]:
        return (str((self._admin.read(f"{mount}/cert/ca_chain") or {})["certificate"]),)

    def _reply(self, name: str) -> None:
        self.calls.append(name)
        if self.lose_next == name:
            self.lose_next = ""
            raise Unavailable(Code.VAULT_UNREACHABLE, "the reply was lost")
