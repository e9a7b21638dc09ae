"""Servers that all crashes of a process share; Vault keeps an audit log, which counts what was really issued."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rotator.dev.servers.consul import Consul
from rotator.dev.servers.openbao import OpenBao, Storage
from rotator.dev.servers.postgres import Postgres
from tests.conftest import or_missing
from tests.crash.site import Servers, prepare


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("crash")
    audit = folder / "vault-audit.log"
    with (
        or_missing(lambda: OpenBao.start(folder / "openbao", storage=Storage.INMEM, audit=audit)) as openbao,
        or_missing(lambda: Consul.start(folder / "consul")) as consul,
        or_missing(lambda: Postgres.start(folder / "postgres")) as postgres,
    ):
        made = Servers(openbao, consul, postgres, audit)
        prepare(made, folder / "base")
        yield made
