"""Opens each site once per test process, and prints at the end which kind passed what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_admin import VaultAdmin
from rotator.config.settings import VaultAuth, VaultAuthMethod, VaultSettings
from rotator.core.secret import Secret
from tests.kinds.contract.site import Ground, Site, found
from tests.kinds.contract.stand import Stand

KIND = "kind"
MARKS = {"passed": "yes", "failed": "NO", "error": "NO", "skipped": "not run"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of equal values runs for the sites that can make their source repeat itself."""
    if "stand" in metafunc.fixturenames:
        chosen = [one for one in found() if "equal" not in metafunc.function.__name__ or one.can_repeat()]
        metafunc.parametrize("site", chosen, ids=[one.label for one in chosen], indirect=True, scope="session")


@pytest.fixture(scope="session")
def open_sites() -> Iterator[tuple[dict[str, Site], ExitStack]]:
    with ExitStack() as stack:
        yield {}, stack


@pytest.fixture(scope="session")
def site(
    request: pytest.FixtureRequest,
    open_sites: tuple[dict[str, Site], ExitStack],
    vault: tuple[str, VaultAdmin, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    """Stays open to the end: a database takes seconds to start."""
    wanted: type[Site] = request.param
    sites, stack = open_sites
    if wanted.label not in sites:
        address, admin, _ = vault
        auth = VaultAuth(VaultAuthMethod.TOKEN, token=Secret("root"))
        secrets = VaultSecrets(VaultSettings(address, auth), SystemClock())
        ground = Ground(address, admin, secrets, tmp_path_factory.mktemp(wanted.label))
        sites[wanted.label] = stack.enter_context(wanted.opened(ground))
    return sites[wanted.label]


@pytest.fixture
def stand(site: Site, record_property: Any) -> Stand:
    record_property(KIND, site.label)
    return Stand(site)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Kind by property. A property that a kind cannot have shows `-`."""
    cells: dict[tuple[str, str], str] = {}
    for outcome, mark in MARKS.items():
        for report in terminalreporter.stats.get(outcome, ()):
            kinds = [value for name, value in getattr(report, "user_properties", ()) if name == KIND]
            if kinds:
                words = report.nodeid.split("::test_")[-1].split("[")[0].replace("_", " ")
                cells[words, kinds[0]] = mark
    if not cells:
        return
    kinds = sorted({kind for _, kind in cells})
    width = max(len(words) for words, _ in cells) + 2
    terminalreporter.write_sep("=", "what each kind holds")
    terminalreporter.write_line(" " * width + "  ".join(kinds))
    for words in dict.fromkeys(words for words, _ in cells):
        row = "  ".join(cells.get((words, kind), "-").ljust(len(kind)) for kind in kinds)
        terminalreporter.write_line(words.ljust(width) + row)
