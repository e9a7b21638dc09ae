"""The street as `app.py` wires it, over Vault and Consul in memory, with a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.core.events import Event, FleetEvent, event_name
from rotator.core.fleet import Agent, Fleet, Listener, PathMatch, Permission, Proxy, ProxyKind, Scope
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.model import Record
from rotator.core.reasons import Actor, ActorKind
from rotator.core.spec import Spec
from rotator.kinds import catalog
from rotator.kinds.base import KindPorts
from rotator.publish import report as reports
from rotator.publish.layout import Layout
from rotator.publish.report import NodeState, Running
from rotator.records import codec, requests
from rotator.records.open_intents import OpenIntent
from rotator.records.requests import InboxRequest, RequestKind
from rotator.rotation.advance import Crew
from rotator.rotation.agents import AgentFacts
from rotator.rotation.cycle import Cycle, Report
from rotator.rotation.documents import Tools
from rotator.rotation.observe import Observer
from rotator.rotation.perform import Performer
from rotator.rotation.reign import Realm, Reign
from rotator.rotation.shelf import Shelf
from rotator.rotation.standing import Standing
from tests.assets.fleet import DOMAIN, spec
from tests.fakes.clock import FakeClock
from tests.fakes.consul import FakeConsul, FakeKeys, FakeLock, When
from tests.fakes.journal import MemoryAudit, NoFailpoint, memory_journal
from tests.fakes.pki import FakePki
from tests.fakes.transit import FakeTransit
from tests.fakes.vault import FakeSecrets

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
TTL = timedelta(hours=1)
ALICE = Actor(ActorKind.OPERATOR, "alice")
EDGE = Owner(OwnerKind.PROXY, "edge")
BILLING = CredentialId.parse("agent/billing/tls")
REPORTS = CredentialId.parse("agent/reports/tls")
EDGE_TLS = CredentialId.parse("proxy/edge/tls")
ALL = (BILLING, REPORTS, EDGE_TLS)
# Enough cycles for whatever needs no time to pass.
CYCLES = 6


def agent(name: str, *, path: str = "/orders", ttl: timedelta = TTL) -> Agent:
    scope = Scope("edge", path, PathMatch.PREFIX, ("GET",), Permission.READ)
    return Agent(name, "team", (scope,), (spec(OwnerKind.AGENT, name, ttl),))


def proxy(*credentials: Spec, nodes: tuple[str, ...] = ()) -> Proxy:
    mine = credentials or (spec(OwnerKind.PROXY, "edge", TTL),)
    return Proxy("edge", ProxyKind.ENVOY, Listener("127.0.0.1", 8443), (), mine, nodes)


def fleet(path: str = "/orders", agents: Iterable[str] = ("billing", "reports")) -> Fleet:
    return Fleet(DOMAIN, tuple(agent(name, path=path) for name in agents), (proxy(),))


class Instance:
    """One process of the service. Its lock lives for a day, unless the test is about leadership."""

    def __init__(self, street: Street, name: str, ttl: timedelta, left: tuple[OpenIntent, ...]) -> None:
        self.name = name
        self.audit = MemoryAudit()
        self.failpoint = NoFailpoint()
        self.lock = FakeLock(street.consul, street.layout.lock, name, ttl)
        self._street = street
        self.cycle = Cycle(self.realm(street.fleet), self.lock, street.secrets, "pki_int", left)

    def realm(self, fleet: Fleet) -> Realm:
        street, clock, layout = self._street, self._street.clock, self._street.layout
        keys = FakeKeys(street.consul)
        standing = Standing()
        ports = KindPorts(street.secrets, clock, self.failpoint, street.pki, transit=street.transit, signers=standing)
        kinds = catalog.build(ports)
        crew = Crew(
            performer=Performer(kinds, clock),
            journal=memory_journal(keys, clock, self.audit, layout),
            agents=AgentFacts(keys, layout),
            lock=self.lock,
            clock=clock,
            failpoint=self.failpoint,
            pool=street.pool,
            wave=street.wave,
        )
        tools = Tools(Shelf(keys, layout), self.audit, clock, self.failpoint, versions_kept=50)
        return Realm(fleet, keys, layout, crew, tools, Observer(keys, layout, fleet), standing, street.pki)

    def run(self) -> Report:
        return self.cycle.run()

    def settle(self) -> list[Report]:
        """Cycles until nothing more is due now, or something is in the way: as the daemon does in one tick."""
        found = []
        for _ in range(CYCLES):
            report = self.run()
            found.append(report)
            if report.faults or report.next_at is None or report.next_at > report.at:
                break
        return found

    @property
    def reign(self) -> Reign:
        assert self.cycle.reign is not None
        return self.cycle.reign

    def events(self, name: str, target: object = None) -> list[Any]:
        """What the audit of this instance says, by event name."""
        return [one for one in self.audit.events if event_name(one) == name and target in (None, _target(one))]


class Street:
    """Everything around the instances."""

    def __init__(self, wanted: Fleet | None = None, wave: int = 63) -> None:
        self.clock = FakeClock(START)
        self.consul = FakeConsul(self.clock)
        self.keys = FakeKeys(self.consul)
        self.secrets = FakeSecrets(self.clock)
        self.transit = FakeTransit(self.clock)
        self.pki = FakePki(self.clock, self.secrets.authority)
        self.layout = Layout()
        self.fleet = wanted or fleet()
        self.wave = wave
        self.pool = ThreadPoolExecutor(2)
        self.shelf = Shelf(self.keys, self.layout)
        self._asked = 0

    def close(self) -> None:
        self.pool.shutdown(wait=True)

    def start(
        self, name: str = "one", ttl: timedelta = timedelta(days=1), left: tuple[OpenIntent, ...] = ()
    ) -> Instance:
        return Instance(self, name, ttl, left)

    def depose(self, instance: Instance) -> None:
        """Consul takes the lock away, and the instance does not know."""
        fence = instance.lock.fence()
        assert fence is not None
        self.consul.destroy_session(fence.session)

    def meet(self, act: Callable[[str, When], None]) -> None:
        """`act` sees every Consul operation before and after its effect, and may raise."""
        reach = self.consul.reach

        def watched(operation: str, when: When) -> None:
            reach(operation, when)
            act(operation, when)

        self.consul.reach = watched  # type: ignore[method-assign]

    def record(self, target: CredentialId = BILLING) -> Record:
        return codec.decode_record(self.consul.entries[self.layout.record(target)].value)

    def version(self, target: CredentialId = BILLING) -> int:
        current = self.record(target).current
        return current.version if current else 0

    def kv_versions(self, target: CredentialId = BILLING) -> tuple[int, ...]:
        """KV versions whose material is there."""
        state = self.secrets.kv_state("kv", self._spec(target).kv_path)
        return () if state is None else tuple(sorted(set(state.versions) - set(state.gone)))

    def agent_current(self, name: str = "billing") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.consul.entries[self.layout.agent_current(name)].value)
        return found

    def document_path(self) -> str:
        """The path that the first agent may use, by the document in force."""
        pointer, _ = self.shelf.pointer("edge")
        assert pointer is not None
        config = self.shelf.document("edge", pointer.version).content["config"]
        return str(config["access"][0]["scopes"][0]["path"])

    def pointer(self, proxy: str = "edge") -> int:
        pointer, _ = self.shelf.pointer(proxy)
        return pointer.version if pointer else 0

    def adopt(self, target: CredentialId = BILLING, node: str = "n1") -> None:
        """A node reports that it runs the current version of a credential."""
        current = self.record(target).current
        assert current is not None
        running = {target.name: Running(current.version, current.serial, current.fingerprint)}
        number = self.pointer() if target.owner.kind is OwnerKind.PROXY else 0
        report = reports.Report(node, self.clock.now(), NodeState.APPLIED, number, "", running)
        self.consul.put(self.layout.node(target.owner, node), reports.encode(report))

    def ask(self, kind: RequestKind, *targets: str, to_version: int | None = None) -> str:
        self._asked += 1
        request = InboxRequest(f"r{self._asked}", kind, targets, "because", ALICE, self.clock.now(), to_version)
        self.consul.put(self.layout.request(request.id), requests.encode_request(request))
        return request.id

    def answer(self, request_id: str) -> InboxRequest:
        return requests.decode_request(self.consul.entries[self.layout.request(request_id)].value)

    def _spec(self, target: CredentialId) -> Spec:
        return next(one for one in self.fleet.specs() if one.id == target)


def spec_of_edge(name: str) -> Spec:
    """One of several certificates of the proxy."""
    made = spec(OwnerKind.PROXY, "edge", TTL)
    return replace(made, id=CredentialId(made.id.owner, name), kv_path=f"proxies/edge/{name}")


def other_proxy() -> Proxy:
    """Published after the first one."""
    return replace(proxy(spec(OwnerKind.PROXY, "west", TTL)), name="west")


def outcomes(instances: Iterable[Instance]) -> dict[str, list[str]]:
    """Rotation id -> its different outcomes, over all audits; the same one told twice is a replay, not a second one."""
    found: dict[str, list[str]] = {}
    for event in _all(instances):
        name = event_name(event)
        if name == "intended":
            found.setdefault(event.rotation_id, [])
        if name == "published" and not isinstance(event, FleetEvent):
            found.setdefault(event.facts.rotation_id, []).append(name)
        if name == "abandoned":
            found.setdefault(event.rotation_id, []).append(name)
    return {mark: sorted(set(listed)) for mark, listed in found.items()}


def _all(instances: Iterable[Instance]) -> Iterator[Any]:
    for one in instances:
        yield from one.audit.events


def _target(event: Event) -> object:
    return event.target
