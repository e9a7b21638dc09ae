"""kill -9, SIGTERM and SIGSTOP at every failpoint of the real service over real OpenBao and Consul (reliability 3.3).

`make test` runs a handful with a restart; ROTATOR_CRASH=full (`make crash`) all points with restart and take-over, some
with SIGTERM and SIGSTOP: about six minutes on two cores; ROTATOR_CRASH=kinds (`make test-kinds`) the steps in which
kinds differ, for three of different nature. ROTATOR_CRASH_ONLY=K4.2-freeze runs what contains that text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from . import history
from .site import Servers, Site
from .sources import APPROLE, CERTIFICATE, DATABASE, Source
from .story import CASES, CERTIFICATES, DOCUMENTS, Case, Crash, Ending, run

pytestmark = [pytest.mark.servers, pytest.mark.crash, pytest.mark.timeout(900)]

ONLY = os.environ.get("ROTATOR_CRASH_ONLY", "")
HOW_MUCH = os.environ.get("ROTATOR_CRASH", "")
FULL = HOW_MUCH == "full"
FEW = frozenset({"K1.2", "K4.2", "K7.2", "J1.5", "K13.10", "K7p.3"})
TERM = frozenset({"K0.2", "K2.2", "K4.2", "K6.2", "K10.1", "K7p.3"})
FREEZE = frozenset({"K1.2", "K2.2", "K4.2", "K6.2", "K9.1", "K6p.3", "K13.10"})
# The token is dead before each call to Vault, and after each effect.
REVOKED = frozenset({f"{point}.2" for point in ("K0", "K1", "K2", "K3", "K4", "K5", "K6", "K7")} | {"K9.1", "K10.1"})
SITES_AT_ONCE = 3

Told = tuple[Site, Crash]


# Other kinds differ from certificates in what they do outside: in these steps.
OF_KINDS = frozenset({f"K{number}.2" for number in range(1, 8)} | {"K9.1", "K10.1", "K11.1", "K12.1"})
# Only an AppRole has several things to retire: its accessor, then the material.
SEVERAL = frozenset({"approle"})

Chosen = tuple[Case, Ending, Source]


def chosen() -> list[Chosen]:
    return [*_of_certificates(), *_of_kinds()]


def _of_certificates() -> Iterator[Chosen]:
    names = {str(case): case for case in CASES if case.point != "K11"}
    wanted: list[tuple[Ending, frozenset[str]]] = [(Ending.RESTART, FEW), (Ending.REVOKED, frozenset({"K1.2", "K4.2"}))]
    if FULL:
        every = frozenset(names)
        wanted = [(Ending.RESTART, every), (Ending.TAKE_OVER, every), (Ending.TERM, TERM)]
        wanted += [(Ending.REVOKED, REVOKED), (Ending.FREEZE, FREEZE)]
    if HOW_MUCH == "kinds":
        wanted = [(Ending.RESTART, OF_KINDS & frozenset(names)), (Ending.REVOKED, REVOKED)]
    for ending, points in wanted:
        yield from ((names[point], ending, CERTIFICATE) for point in sorted(points))


def _of_kinds() -> Iterator[Chosen]:
    names = {str(case): case for case in CASES if str(case) in OF_KINDS}
    some = frozenset({"K2.2", "K4.2"})
    wanted = [(Ending.RESTART, frozenset(names) if HOW_MUCH else some)]
    if HOW_MUCH:
        wanted += [(Ending.TAKE_OVER, some), (Ending.REVOKED, REVOKED & frozenset(names))]
    for source in (APPROLE, DATABASE):
        for ending, points in wanted:
            for point in sorted(points):
                if names[point].point != "K11" or source.kind in SEVERAL:
                    yield names[point], ending, source


CHOSEN = [one for one in chosen() if ONLY in f"{one[2].kind}-{one[0]}-{one[1]}"]


@pytest.fixture(scope="module")
def stories(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[int, Future[Told]]]:
    """All at once, a few side by side: most of a take-over is waiting for a session to expire."""
    folder = tmp_path_factory.mktemp("sites")
    sites: list[Site] = []

    def tell(number: int) -> Told:
        case, ending, source = CHOSEN[number]
        site = Site(servers, folder / f"s{number:03d}", f"s{number:03d}", source)
        sites.append(site)
        try:
            return site, run(site, case, ending)
        finally:
            site.close()

    with ThreadPoolExecutor(SITES_AT_ONCE * (2 if FULL else 1)) as pool:
        yield {number: pool.submit(tell, number) for number in range(len(CHOSEN))}
        pool.shutdown(cancel_futures=True)
    for site in sites:
        site.close()


@pytest.mark.parametrize("number", range(len(CHOSEN)), ids=[f"{kind.kind}-{case}-{end}" for case, end, kind in CHOSEN])
def test_recovery_without_help(stories: Mapping[int, Future[Told]], number: int) -> None:
    """Whatever dies wherever: the same rotation goes on, nothing is made twice, the history is an honest one."""
    case, ending, _ = CHOSEN[number]
    site, crash = stories[number].result()
    if not case.published and ending is not Ending.TERM:
        assert crash.published <= 1, "consumers were told of a version that was not verified"
    assert_end(site, case, ending)
    assert_history(site, case, crash)
    if site.issued() > CERTIFICATES:
        assert history.load(site.audits()).named("orphan_found"), "a certificate that nobody holds is not listed"
    assert_no_secret(site)


def assert_end(site: Site, case: Case, ending: Ending) -> None:
    """As after a run without any fault."""
    assert [site.version(one) for one in (site.agent, site.other, site.proxy)] == [2, 1, 2]
    assert all(site.record(one).pending is None for one in (site.agent, site.other, site.proxy))
    assert [site.kv(one)["current_version"] for one in (site.agent, site.other, site.proxy)] == [2, 1, 2]
    assert site.accepted(), "what lies in Vault is not accepted by the system that it is for"
    assert site.source.alive(site) == 1, "something that nobody holds is still accepted"
    destroyed = {number for number, one in site.kv(site.agent)["versions"].items() if one["destroyed"]}
    assert destroyed == {"1"}
    spare = site.issued() - CERTIFICATES
    assert 0 <= spare <= (case.spare if ending not in (Ending.TERM, Ending.REVOKED) else 0)
    name = site.proxy.owner.name
    assert site.shelf.numbers(name) == tuple(range(1, DOCUMENTS + 1))
    assert site.pointer() == DOCUMENTS
    assert site.shelf.document(name, 3).digest == site.shelf.document(name, 1).digest


def assert_history(site: Site, case: Case, crash: Crash) -> None:
    found = history.load(site.audits())
    assert history.flaws(found) == []
    intents = found.named("intended", str(site.agent))
    assert len(intents) <= case.intents
    if crash.pending:
        finished = {line["rotation_id"] for line in found.named("published")}
        assert crash.pending in finished, "the rotation in flight was not the one that was finished"
    assert not [line for line in found.named("failed") if line["error"]["family"] == "bug"]


def assert_no_secret(site: Site) -> None:
    """Secrets are in Vault and nowhere else: neither below the service's directories nor in Consul."""
    bodies = [(key.splitlines()[1] if "\n" in key else key).encode() for key in site.secrets() if key]
    assert len(bodies) == 3
    places = {str(path): path.read_bytes() for path in site.directory.rglob("*") if path.is_file()}
    for place, content in {**places, **site.everything()}.items():
        assert b"PRIVATE KEY" not in content, place
        assert not [body for body in bodies if body in content], place
