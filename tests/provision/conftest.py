"""Servers of this room's own: bootstrap changes a whole server, so none is shared with other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rotator.dev.servers.openbao import OpenBao, Storage
from tests.assets.bare_servers import bare_vault, consul, vault
from tests.assets.servers import or_missing
from tests.provision.every_kind import Prepared, prepare

__all__ = ["bare_vault", "consul", "vault"]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """A Vault that `rotator bootstrap` has prepared for a credential of every kind.

    With raft: without high availability Vault answers `sys/step-down` before it looks at rights.
    """
    folder = tmp_path_factory.mktemp("every-kind")
    with or_missing(lambda: OpenBao.start(folder / "openbao", storage=Storage.RAFT)) as server:
        yield prepare(server, folder)
