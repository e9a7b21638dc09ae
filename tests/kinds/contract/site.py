"""What a kind brings to the contract suite: one file `sites/<kind>.py` with `SITES = (SomeSite, …)`. A kind of another
package keeps its file to itself, and ROTATOR_CONTRACT_SITES names it.

Several sites in one file are variants of one kind, for example one account and a pair. Everything is real: the
clients, OpenBao, and where there is one the system that accepts the credential. The suite puts a wire before every
socket that loses replies on demand, so a site only names the clients.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_admin import VaultAdmin
from rotator.core.model import Facts
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds import catalog
from rotator.kinds.base import Kind, KindPorts
from tests.kinds.contract import sites

Material = Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class Ground:
    """What is there for every site: a bootstrapped OpenBao, an administrator, the service's own client (root token;
    engines are built on `secrets.calls`), and a folder of the site's own."""

    address: str
    admin: VaultAdmin
    secrets: VaultSecrets
    folder: Path


class Site(ABC):
    """One kind on real ground. Opened once per test process, shared by the tests of its kind.

    label: in test names and in the table. kind: name of the file in rotator/kinds/. repeats: names of the wire's
    methods (`socket.method`) whose first reply the suite plays again to make the source repeat itself.
    ends_by_revoke: after `revoke` nothing accepts the material any more.
    """

    label: ClassVar[str]
    kind: ClassVar[str]
    repeats: ClassVar[tuple[str, ...]] = ()
    ends_by_revoke: ClassVar[bool] = True

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    @classmethod
    @contextmanager
    def opened(cls, ground: Ground) -> Iterator[Site]:
        """Override to start and stop a server of the site's own."""
        yield cls(ground)

    @abstractmethod
    def spec(self, name: str) -> Spec:
        """A credential that nobody has used yet, with all that it needs at the source (role, account, client).

        name: unique letters, digits and hyphens. Use KV mount `kv` and a path with the name in it.
        """

    @abstractmethod
    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        """Whether the material is accepted where it is meant to be used, by really using it."""

    @abstractmethod
    def spoil(self, spec: Spec, facts: Facts, material: Material) -> Material | None:
        """Makes this version wrong. Either at its source (ends it there; returns None), or it returns fields that the
        suite stores in their place with a right mark and a right fingerprint. `verify` must reject either."""

    def sockets(self) -> Mapping[str, Any]:
        """The clients of the kind by the names of `KindPorts`, for example `{"approles": VaultAppRoles(…)}`. The
        suite adds `secrets`, `clock` and `failpoint`."""
        return {}

    def build(self, ports: KindPorts) -> Kind:
        """As the catalog does; a kind of this package without its neighbours."""
        if self.kind not in catalog.own_names():
            return catalog.build(ports)[self.kind]
        found: Kind = importlib.import_module(f"rotator.kinds.{self.kind}").build(ports)
        return found

    def repeating(self, spec: Spec) -> Spec | None:
        """The same credential where its source can only repeat itself. None: not by settings, then see `repeats`."""
        return None

    def orphans(self, spec: Spec, known: Sequence[Facts]) -> int:
        """How many things are alive at the source (secret-ids, tokens, …) that none of `known` names. 0 for kinds that
        make nothing outside before it is stored."""
        return 0

    @classmethod
    def can_repeat(cls) -> bool:
        """Whether there is a way to make the source repeat itself."""
        return bool(cls.repeats) or cls.repeating is not Site.repeating


@cache
def found() -> tuple[type[Site], ...]:
    """All sites of the folder, and of the files that ROTATOR_CONTRACT_SITES names; sorted by label."""
    names = (module.name for module in pkgutil.iter_modules(sites.__path__))
    modules = [importlib.import_module(f"{sites.__name__}.{name}") for name in names]
    modules += [_from_file(name) for name in os.environ.get("ROTATOR_CONTRACT_SITES", "").split(os.pathsep) if name]
    return tuple(sorted((one for module in modules for one in module.SITES), key=lambda one: str(one.label)))


def _from_file(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"contract_site_{Path(name).parent.name}", name)
    assert spec is not None, name
    assert spec.loader is not None, name
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
