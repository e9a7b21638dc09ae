"""The shape of `follower.toml`: every field typed, unknown fields refused."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from rotator.config import check, schema
from rotator.config.fields import HostPort, Model, Name, NodeName, Span, span
from rotator.config.schema import TlsModel
from rotator.config.settings import VaultAuthMethod
from rotator.core.fleet import ProxyKind


def _signal(value: str) -> str:
    name = value.removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__:
        raise ValueError("no such signal")
    return name


def _directory(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("an absolute path is wanted")
    return value


Wait = Annotated[timedelta, BeforeValidator(span)]  # may be none
SignalName = Annotated[str, AfterValidator(_signal)]
Directory = Annotated[Path, AfterValidator(_directory)]


class AuthModel(schema.AuthModel):
    """As the service's own, but complete in itself: a subject's login has no other place to be completed."""

    method: VaultAuthMethod = VaultAuthMethod.TOKEN_FILE

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = check.NEEDED.get(self.method, ()) + (("role_name",) if self.secret_id_wrapped else ())
        missing = [field for field in needed if not getattr(self, field)]
        if missing:
            raise ValueError(f"method {self.method.value} needs {' and '.join(missing)}")
        return self


class VaultModel(Model):
    address: str = ""
    namespace: str = ""
    timeout: Span = timedelta(seconds=10)
    auth: AuthModel | None = None
    tls: TlsModel = TlsModel()


class ConsulModel(Model):
    address: str = "http://127.0.0.1:8500"
    token_file: Path | None = None
    datacenter: str = ""
    namespace: str = ""
    prefix: str = ""
    timeout: Span = timedelta(seconds=10)
    tls: TlsModel = TlsModel()


class Subject(Model):
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
    admin: HostPort | None = None
    probe: HostPort | None = None
    probe_name: str = ""
    template: Path | None = None
    settle: Wait = timedelta(seconds=10)


class AgentSubject(Subject):
    """`exec` is run, or `signal` sent, once per change."""


class FollowerModel(Model):
    node: NodeName
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
