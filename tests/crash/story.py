"""What every site lives through, whoever dies on the way: enrolment, renewal, retirement, rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rotator.dev.servers.process import Child
from rotator.records.requests import RequestKind

from .site import Site, Stuck, frozen

# Of a run without a crash: two agents and a proxy enrolled, one agent and the proxy renewed once.
CERTIFICATES = 5
# Enrolled, renewed, rolled back, and forward again with the newer certificate under the held configuration.
DOCUMENTS = 4


class Ending(StrEnum):
    """What follows the failpoint."""

    RESTART = "restart"  # kill -9, then the same instance again
    TAKE_OVER = "take-over"  # kill -9, then another instance; the first one returns at the end
    TERM = "term"  # SIGTERM at the point, then another instance
    FREEZE = "freeze"  # SIGSTOP, another instance takes over, SIGCONT
    REVOKED = "revoked"  # SIGSTOP, the service's token is revoked, SIGCONT: the same process logs in and goes on


@dataclass(frozen=True, slots=True)
class Case:
    """point: of the failpoint; target: with {a} for the renewed agent's credential, {p} for the proxy, {i} for the
    instance; count: at which pass.

    spare: certificates that may be made and never used. intents: of the agent's credential over its whole story.
    published: whether consumers were told of the new version before the crash. then: a failpoint of the first restart.
    """

    point: str
    target: str = "{a}"
    count: int = 2
    spare: int = 0
    intents: int = 2
    published: bool = False
    then: str = ""

    def __str__(self) -> str:
        return f"{self.point}{'p' if self.target == '{p}' else ''}.{self.count}{'+' + self.then if self.then else ''}"

    def order(self, site: Site, action: str, point: str = "", count: int = 0) -> str:
        target = self.target.format(a=site.agent, p=site.proxy.owner, i=f"{site.name}-one")
        return f"{action}:{point or self.point}:{target}:{count or self.count}"


# The second pass of the agent's points is its renewal. K8 is J2.7, K11 is for kinds with several actions to retire, K15
# is the third pass of the proxy's points.
CASES: Sequence[Case] = (
    Case("K0"),
    Case("J1", count=5, intents=3),  # the intent is audited and not recorded
    Case("J2", count=5),
    Case("K1"),
    Case("K2", spare=1),
    Case("K3", spare=1),
    Case("K4"),
    Case("K4", then="K5V"),
    Case("K4", then="K5W"),
    Case("K5"),
    Case("K5W"),
    Case("J1", count=6),
    Case("J2", count=6),
    Case("K6"),
    Case("K7", published=True),
    Case("J1", count=7, published=True),
    Case("J2", count=7, published=True),
    Case("J1", count=8, published=True),
    Case("K9", count=1, published=True),
    Case("K10", count=1, published=True),
    Case("K11", count=1, published=True),
    Case("K12", count=1, published=True),
    Case("J1", count=9, published=True),
    Case("J2", count=9, published=True),
    Case("K6", "{p}", count=1),
    Case("K7", "{p}", count=1),
    Case("K6", "{p}", count=2, published=True),
    Case("K7", "{p}", count=2, published=True),
    Case("K6", "{p}", count=3, published=True),
    Case("K7", "{p}", count=3, published=True),
    Case("K13", "{i}", count=1, intents=3),
    Case("K13", "{i}", count=3, intents=3),
    Case("K13", "{i}", count=6, intents=3),
    Case("K13", "{i}", count=10, intents=3),
    Case("K13", "{i}", count=11, intents=3),
)


@dataclass(frozen=True, slots=True)
class Crash:
    """What was seen between death and recovery. pending: rotation id in flight, empty when there was none."""

    published: int
    kv_version: int
    pending: str
    issued: int


def run(site: Site, case: Case, ending: Ending) -> Crash:
    """The whole story with one failpoint; every process has ended when this returns."""
    action = {Ending.TERM: "term", Ending.FREEZE: "stop", Ending.REVOKED: "stop"}.get(ending, "kill")
    first = site.start("one", case.order(site, action))
    _until_struck(site, first, ending)
    crash = _look(site)
    if ending is Ending.REVOKED:
        assert site.revoke_tokens() > 0
        first.resume()
        _finish(site, first)
        return crash
    if case.then:
        again = site.start("one", case.order(site, "kill", case.then, 1))
        _until_struck(site, again, Ending.RESTART)
    second = site.start("one" if ending is Ending.RESTART else "two")
    _finish(site, second, stop=False)
    if ending is Ending.FREEZE:
        _thaw(site, first)
        first.stop()
    _stop(site, second)
    if ending is not Ending.RESTART:
        _return(site)
    return crash


def _finish(site: Site, child: Child, *, stop: bool = True) -> None:
    """The rest of the story, by a process that must not end before it."""
    if not _live(site, lambda: not child.alive):
        raise Stuck(f"{site.name}: the process ended by itself; see {child.log}")
    if stop:
        _stop(site, child)


def _live(site: Site, interrupted: Callable[[], bool]) -> bool:
    """Goes through the story from wherever it stands; False when it was interrupted."""
    for name, act, done in _steps(site):
        site.await_(name, lambda act=act, done=done: interrupted() or (act() or done()))  # type: ignore[misc]
        if interrupted():
            return False
    return True


Step = tuple[str, Callable[[], None], Callable[[], bool]]


def _steps(site: Site) -> Sequence[Step]:
    all_of = (site.agent, site.other, site.proxy)
    return (
        ("enrolment", lambda: None, lambda: site.pointer() >= 1 and all(site.version(one) >= 1 for one in all_of)),
        (
            "renewal of the agent",
            lambda: site.ask("agent", RequestKind.ROTATE, site.agent),
            lambda: site.succeeded("agent"),
        ),
        ("retirement", site.adopt, lambda: site.version(site.agent) == 2 and not site.record(site.agent).retiring),
        (
            "renewal of the proxy",
            lambda: site.ask("proxy", RequestKind.ROTATE, site.proxy),
            lambda: site.succeeded("proxy"),
        ),
        (
            "rollback",
            lambda: site.ask("back", RequestKind.ROLLBACK, site.proxy.owner, to_version=1),
            lambda: site.succeeded("back"),
        ),
        ("the newer certificate", lambda: None, lambda: site.pointer() >= DOCUMENTS),
    )


def _until_struck(site: Site, child: Child, ending: Ending) -> None:
    """A crash test that never crashes must not pass."""
    stopped = ending in (Ending.FREEZE, Ending.REVOKED)
    struck = (lambda: frozen(child)) if stopped else (lambda: not child.alive)
    through = _live(site, struck)
    if ending is Ending.TERM:  # it finishes its cycle, which may be the last one of the story
        site.await_("an orderly end", struck, 10)
        site.await_("the lock's release", lambda: site.holder() == "", 1)
    elif through:
        raise Stuck(f"{site.name}: the failpoint was never reached")


def _look(site: Site) -> Crash:
    record = site.record(site.agent)
    pending = record.pending.rotation_id if record.pending else ""
    versions = int(site.kv(site.agent).get("current_version", 0))
    return Crash(site.published_version(), versions, pending, site.issued())


def _thaw(site: Site, child: Child) -> None:
    """The deposed one comes back to life in the middle of its step: it may say that it lost, and nothing more."""
    before = _effects(site)
    child.resume()
    audit = site.directory / "one" / "audit.jsonl"
    site.await_("the deposed instance's own word", lambda: '"leadership_lost"' in audit.read_text())
    after = _effects(site)
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if changed:
        raise AssertionError(f"{site.name}: the deposed instance changed {', '.join(changed)}")


def _effects(site: Site) -> Mapping[str, object]:
    """All that anybody could notice outside the process."""
    return {**site.everything(), "in Vault": site.kv(site.agent), "certificates made": site.issued()}


def _return(site: Site) -> None:
    """The first instance comes back, leads again, and closes what it had left."""
    audit = site.directory / "one" / "audit.jsonl"
    before = audit.read_text().count('"leadership_gained"')
    child = site.start("one")
    site.await_("the first instance's return", lambda: audit.read_text().count('"leadership_gained"') > before)
    _stop(site, child)


def _stop(site: Site, child: Child) -> None:
    child.stop(20)
    site.await_("the lock's release", lambda: site.holder() == "", 2)
