"""The shape of `follower.toml`: every field typed, unknown fields refused."""

from __future__ import annotations

import re
import signal
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rotator.config.settings import TlsSettings, VaultAuth, VaultAuthMethod
from rotator.core.fleet import ProxyKind
from rotator.core.identity import is_name
from rotator.core.secret import Secret

_SPAN = re.compile(r"(\d+)(s|m|h)")
_UNIT = {"s": 1, "m": 60, "h": 3600}


def _span(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a duration looks like 10s, 5m or 1h")
    return timedelta(seconds=int(found[1]) * _UNIT[found[2]])


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError("1 to 63 characters of a-z, 0-9 and inner hyphens")
    return value


def _endpoint(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("host:port is wanted")
    return value


def _signal(value: str) -> str:
    name = value.removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__:
        raise ValueError("no such signal")
    return name


def _directory(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("an absolute path is wanted")
    return value


Span = Annotated[timedelta, BeforeValidator(_span)]
Name = Annotated[str, AfterValidator(_name)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
SignalName = Annotated[str, AfterValidator(_signal)]
Directory = Annotated[Path, AfterValidator(_directory)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsModel(_Model):
    ca_file: Path | None = None
    ca_path: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    server_name: str = ""

    def settings(self) -> TlsSettings:
        return TlsSettings(**dict(self))


class AuthModel(_Model):
    method: VaultAuthMethod = VaultAuthMethod.TOKEN_FILE
    mount: str = ""
    role: str = ""
    token_file: Path | None = None
    secret_id_file: Path | None = None
    secret_id_wrapped: bool = False
    jwt_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            VaultAuthMethod.TOKEN_FILE: ("token_file",),
            VaultAuthMethod.APPROLE: ("role", "secret_id_file"),
            VaultAuthMethod.JWT: ("role", "jwt_file"),
        }
        missing = [field for field in needed.get(self.method, ()) if not getattr(self, field)]
        if missing:
            raise ValueError(f"method {self.method.value} needs {' and '.join(missing)}")
        return self

    def settings(self, token: Secret | None) -> VaultAuth:
        """A token from the environment beats the file, as with the vendors' own tools."""
        if token is not None:
            return VaultAuth(VaultAuthMethod.TOKEN, token=token)
        fields = dict(self)
        fields["mount"] = self.mount or self.method.value
        return VaultAuth(**fields)


class VaultModel(_Model):
    address: str
    namespace: str = ""
    timeout: Span = timedelta(seconds=10)
    auth: AuthModel | None = None
    tls: TlsModel = TlsModel()


class ConsulModel(_Model):
    address: str = "http://127.0.0.1:8500"
    token_file: Path | None = None
    datacenter: str = ""
    namespace: str = ""
    prefix: str = ""
    timeout: Span = timedelta(seconds=10)
    tls: TlsModel = TlsModel()


class Subject(_Model):
    """What proxies and agents have in common. group: whose members may read the files; empty: the owner alone.

    auth, consul_token_file: the subject's own identities, in place of those of [vault] and [consul]."""

    name: Name
    directory: Directory
    group: str = ""
    exec: tuple[str, ...] = ()
    signal: SignalName | None = None
    pid_file: Path | None = None
    timeout: Span = timedelta(seconds=30)
    auth: AuthModel | None = None
    consul_token_file: Path | None = None

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if (self.signal is None) != (self.pid_file is None):
            raise ValueError("signal and pid_file belong together")
        return self


class ProxySubject(Subject):
    """binary: the proxy's own program, for its checker. admin: Envoy's admin interface (loopback). probe: where the
    served certificate is looked at; empty: the listener of the document. probe_name: SNI of that look."""

    kind: ProxyKind = ProxyKind.ENVOY
    binary: str = ""
    admin: Endpoint | None = None
    probe: Endpoint | None = None
    probe_name: str = ""
    template: Path | None = None
    settle: Span = timedelta(seconds=10)


class AgentSubject(Subject):
    """`exec` is run, or `signal` sent, once per change."""


class FollowerModel(_Model):
    node: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    vault: VaultModel
    consul: ConsulModel = ConsulModel()
    proxy: tuple[ProxySubject, ...] = ()
    agent: tuple[AgentSubject, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        subjects: tuple[Subject, ...] = (*self.proxy, *self.agent)
        if not subjects:
            raise ValueError("nothing is followed: add a [[proxy]] or an [[agent]]")
        if len({one.directory for one in subjects}) < len(subjects):
            raise ValueError("each subject needs a directory of its own")
        return self
