"""The one place that wires everything: settings in, a running service or an operator's view out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from pathlib import Path

from prometheus_client import CollectorRegistry

from rotator import connect
from rotator.clients import append_file, failpoint, systemd
from rotator.clients.append_file import DurableFile
from rotator.clients.clock import SystemClock
from rotator.clients.consul import ConsulKeys
from rotator.clients.consul_agent import OnCall, unheard
from rotator.clients.consul_lock import ConsulLock, lock_agent
from rotator.clients.files import StateLock, sweep_temporary
from rotator.clients.oauth import HttpAuthorizationServers
from rotator.clients.postgres_login import PostgresLogins
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_approle import VaultAppRoles
from rotator.clients.vault_database import VaultDatabases
from rotator.clients.vault_paths import VaultPathCalls
from rotator.clients.vault_pki import VaultPki
from rotator.clients.vault_transit import VaultTransit
from rotator.config.load import load as load_configuration
from rotator.config.settings import Settings
from rotator.core.errors import Fault
from rotator.core.events import FleetEvent, FleetEventName
from rotator.core.reasons import Cause, Reason
from rotator.daemon import Daemon, Job
from rotator.duty import Duty, Parts, Pulse
from rotator.kinds import catalog
from rotator.kinds.base import KindPorts
from rotator.picture import Painter
from rotator.ports import Failpoint
from rotator.publish.layout import Layout
from rotator.records.anchors import Anchors
from rotator.records.audit import AuditChain, AuditContext, AuditOptions
from rotator.records.chain import LINE_LIMIT
from rotator.records.journal import ConsulJournal, JournalPorts
from rotator.records.open_intents import OpenIntent, open_intents
from rotator.records.requests import InboxRequest
from rotator.rotation.advance import Crew
from rotator.rotation.agents import AgentFacts
from rotator.rotation.cycle import Cycle
from rotator.rotation.documents import Tools
from rotator.rotation.observe import Observer
from rotator.rotation.perform import Performer
from rotator.rotation.reign import Realm
from rotator.rotation.shelf import Shelf
from rotator.rotation.standing import Standing
from rotator.rotation.view import View
from rotator.telemetry import logs
from rotator.telemetry.board import Board
from rotator.telemetry.counters import Counters
from rotator.telemetry.exposition import Exposition
from rotator.telemetry.health import Check
from rotator.web import health as health_page
from rotator.web import metrics as metrics_page
from rotator.web.server import WebServer

ANCHOR_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Clients:
    """What the service opens once and closes at the end."""

    clock: SystemClock
    keys: ConsulKeys
    vault: VaultSecrets
    lock: ConsulLock
    audit: AuditChain
    failpoint: Failpoint
    pool: ThreadPoolExecutor
    state: StateLock


def load(config: str) -> Settings:
    """The configuration with the environment on top, asked also of the kinds that other packages bring. Raises
    ConfigErrors or Denied."""
    loaded = load_configuration(Path(config), os.environ)
    catalog.check(loaded)
    return loaded.settings


def open_view(settings: Settings, on_call: OnCall = unheard) -> View:
    """What operators' commands look at. Nothing is sent before the first question."""
    clock = SystemClock()
    keys = connect.open_keys(settings.consul, clock, on_call)
    layout = Layout(settings.consul.prefix)
    journal = ConsulJournal(JournalPorts(keys, _Unwritten(), clock, failpoint.NoFailpoint()), layout)
    return View(keys, journal, layout, settings.fleet)


def with_version(request: InboxRequest, version: int | None) -> InboxRequest:
    return replace(request, to_version=version)


def build_daemon(config: str) -> Daemon:
    """The whole service. Raises Fault when it cannot start; Vault and Consul may still be away."""
    settings = load(config)
    logs.configure(logs.Redactor(), level=settings.service.log_level, style=settings.service.log_format)
    clock, board, registry = SystemClock(), Board(), CollectorRegistry()
    counters, pulse = Counters(board, registry), Pulse(clock)
    clients = _open(settings, clock, counters, pulse)
    left = _left_open(settings.audit.file)
    realm = _realm(settings, clients)
    cycle = Cycle(realm, clients.lock, clients.vault, settings.vault.pki_mount, left)
    painter = Painter(settings, clock, clients.vault.token_expires_at, clients.audit.head)
    duty = _duty(settings, config, clients, cycle, (board, registry, counters, pulse, painter))
    jobs = (
        Job("lock", settings.consul.session_ttl / 3, duty.renew),
        Job("vault", max(settings.service.tick, timedelta(seconds=5)), duty.keep_vault),
        Job("anchor", ANCHOR_EVERY, duty.keep_anchor),
    )
    return Daemon(duty, clock, settings.service.tick, jobs)


def _open(settings: Settings, clock: SystemClock, counters: Counters, pulse: Pulse) -> Clients:
    """The state directory is locked first: two processes of one instance would write one audit chain."""
    state = StateLock(settings.service.state_dir)
    sweep_temporary(settings.service.state_dir)
    layout = Layout(settings.consul.prefix)

    def consul_called(operation: str, code: str, seconds: float) -> None:
        counters.on_consul_call(operation, code, seconds)
        pulse.called(Check.CONSUL, code)

    def vault_called(operation: str, code: str, seconds: float) -> None:
        counters.on_vault_call(operation, code, seconds)
        pulse.called(Check.VAULT, code)

    agent = lock_agent(settings.consul, clock, consul_called)
    point = failpoint.from_environment(os.environ)
    return Clients(
        clock=clock,
        keys=ConsulKeys(settings.consul, clock, consul_called),
        vault=VaultSecrets(settings.vault, clock, vault_called),
        lock=ConsulLock(
            agent, settings.consul, layout.lock, settings.service.instance, clock, predecessor_is_dead=True
        ),
        audit=_audit(settings, clock, point),
        failpoint=point,
        pool=ThreadPoolExecutor(settings.vault.workers, thread_name_prefix="vault"),
        state=state,
    )


def _audit(settings: Settings, clock: SystemClock, point: Failpoint) -> AuditChain:
    context = AuditContext(settings.service.instance, settings.config_hash)
    options = AuditOptions(sink=_to_stdout if settings.audit.stdout else None, failpoint=_if_armed(point))
    return AuditChain(DurableFile(settings.audit.file), clock, context, options)


def _if_armed(point: Failpoint) -> Failpoint | None:
    """Splitting every write in two is for crash tests only."""
    return point if os.environ.get("ROTATOR_FAILPOINT", "").split(":")[1:2] == ["K13"] else None


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _left_open(audit_file: Path) -> tuple[OpenIntent, ...]:
    """What the process before this one left without an outcome in the audit chain of this instance."""
    if not audit_file.exists():
        return ()
    files = (*append_file.archives(audit_file), audit_file)
    return open_intents(chain.from_iterable(append_file.read_lines(file, LINE_LIMIT) for file in files))


def _realm(settings: Settings, clients: Clients) -> Realm:
    layout, clock = Layout(settings.consul.prefix), clients.clock
    standing = Standing()
    kinds = catalog.build(
        KindPorts(
            clients.vault,
            clock,
            clients.failpoint,
            pki=VaultPki(clients.vault.calls),
            approles=VaultAppRoles(clients.vault.calls),
            engine=VaultDatabases(clients.vault.calls),
            databases=PostgresLogins(),
            paths=VaultPathCalls(clients.vault.calls),
            authorization=HttpAuthorizationServers(clock),
            transit=VaultTransit(clients.vault.calls),
            signers=standing,
        )
    )
    journal = ConsulJournal(JournalPorts(clients.keys, clients.audit, clock, clients.failpoint), layout)
    crew = Crew(
        performer=Performer(kinds, clock),
        journal=journal,
        agents=AgentFacts(clients.keys, layout),
        lock=clients.lock,
        clock=clock,
        failpoint=clients.failpoint,
        pool=clients.pool,
        wave=settings.service.wave,
    )
    shelf = Shelf(clients.keys, layout)
    tools = Tools(shelf, clients.audit, clock, clients.failpoint, settings.service.versions_kept)
    observer = Observer(clients.keys, layout, settings.fleet)
    return Realm(settings.fleet, clients.keys, layout, crew, tools, observer, standing, VaultPki(clients.vault.calls))


Windows = tuple[Board, CollectorRegistry, Counters, Pulse, Painter]


def _duty(settings: Settings, config: str, clients: Clients, cycle: Cycle, windows: Windows) -> Duty:
    board, registry, counters, pulse, painter = windows
    counters.expect(catalog.names(), [proxy.name for proxy in settings.fleet.proxies])
    anchors = Anchors(clients.keys, Layout(settings.consul.prefix), clients.clock)
    exposition = Exposition(board, registry)
    opened: list[WebServer] = []

    def anchor() -> None:
        fence = clients.lock.fence()
        if fence is not None:
            anchors.publish(clients.audit, fence)

    def open_web() -> None:
        routes = [*health_page.routes(duty.live, duty.ready), metrics_page.route(exposition.render)]
        server = WebServer(routes)
        server.start(settings.service.http_address, settings.service.http_port)
        opened.append(server)

    parts = Parts(
        cycle=cycle,
        lock=clients.lock,
        audit=clients.audit,
        anchor=anchor,
        vault=clients.vault,
        upkeep=clients.vault.upkeep,
        board=board,
        counters=counters,
        pulse=pulse,
        clock=clients.clock,
        notifier=systemd.from_process(),
        picture=painter.paint,
        reload=_reloader(config, settings, clients, painter),
        open_web=open_web,
        close=lambda: _close(clients, opened),
    )
    duty = Duty(parts, settings.service.tick)
    return duty


def _reloader(config: str, running: Settings, clients: Clients, painter: Painter) -> Callable[[Cycle], FleetEvent]:
    """Takes a new inventory into service; addresses and logins need a restart and are left as they are."""

    def reload(cycle: Cycle) -> FleetEvent:
        cause = Cause(Reason.CONFIG_CHANGED, "asked to load the configuration again")
        try:
            fresh = load(config)
            kept = replace(fresh, vault=running.vault, consul=running.consul, audit=running.audit)
            realm = _realm(kept, clients)  # refuses kinds of packages that were installed meanwhile and are broken
        except Fault as fault:
            painter.refused()
            return FleetEvent(clients.clock.now(), FleetEventName.CONFIG_REFUSED, "service", cause, error=str(fault))
        clients.audit.set_config_hash(fresh.config_hash)
        cycle.change_realm(realm)
        painter.loaded(kept)
        after = (("config_hash", fresh.config_hash),)
        return FleetEvent(clients.clock.now(), FleetEventName.CONFIG_LOADED, "service", cause, (), after)

    return reload


def _close(clients: Clients, opened: list[WebServer]) -> None:
    for server in opened:
        server.stop(timedelta(seconds=5))
    clients.pool.shutdown(wait=True, cancel_futures=True)
    clients.vault.close()
    clients.lock.close()
    clients.keys.close()
    clients.audit.close()
    clients.state.release()


class _Unwritten:
    """The audit of a view that never writes."""

    def append(self, events: object) -> None:
        raise AssertionError("a view writes nothing")

    def set_epoch(self, epoch: int) -> None:
        raise AssertionError("a view leads nothing")
