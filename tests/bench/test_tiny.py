"""The benchmark in a tiny size: it must keep running while the product changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from rotator.dev.servers.locate import Server
from tests.assets.servers import binary

pytestmark = pytest.mark.servers


def test_a_tiny_run_measures_all_three_with_every_certificate_counted(tmp_path: Path) -> None:
    """Figures of a run that lost certificates, or in which a process was not measured, would be wrong in silence."""
    for server in (Server.OPENBAO, Server.CONSUL):
        binary(server)
    wanted = tmp_path / "figures.json"
    tiny = ["--agents=5", "--repeats=1", "--connections=2", "--raw-seconds=1", "--storage=inmem", "--peer-seconds=20"]
    assert main([*tiny, f"--json={wanted}", f"--directory={tmp_path}"]) == 0
    found = json.loads(wanted.read_text())
    rounds = {name: one["rounds"][0] for name, one in found["contenders"].items()}
    assert rounds["rotator"]["certificates"] == 5
    assert rounds["bao agent"]["certificates"] == 5
    assert rounds["raw calls"]["certificates"] > 5
    assert all(one["done"] for one in rounds.values())
    assert {"ours", "openbao", "consul"} <= rounds["rotator"]["cpu"].keys()
    assert found["ratios"]["rotator/raw"] > 0
    assert "OpenBao" in found["versions"]["openbao"] or "Vault" in found["versions"]["openbao"]
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"], "the servers' data is gone"
