"""One pass: asks `state.decide` what must be done, does it, writes down what happened, reports.

The same for proxies and agents; what differs is a `Subject`. A pass can be started by our own watch, by `consul
watch`, by a timer or by hand, as often as anybody likes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from rotator.clients.directories import VersionDirectories
from rotator.core.errors import Code, Conflict, Fault, Rejected
from rotator.core.identity import Owner
from rotator.follower import memory, state
from rotator.follower.state import Applied, Setback, Step, Version
from rotator.ports import Clock, Entry, Keys, Put
from rotator.publish import report
from rotator.publish.layout import Layout
from rotator.publish.report import NodeState, Report, Running

GRACE = timedelta(minutes=10)
# The service counts reports of the last ten minutes (core/adoption.py); one a minute survives several lost ones.
REPORT_EVERY = timedelta(seconds=60)
PAUSE = timedelta(seconds=5)
_STEPS_IN_A_PASS = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RefusedByConsumer(Rejected):
    """The consumer saw the version and went on with the old one: the last good directory comes back into force."""


class Subject(Protocol):
    """What is followed: a proxy or an agent on this node."""

    owner: Owner
    key: str

    def desired(self, entry: Entry) -> Version:
        """What the pointer says. Raises Rejected when it cannot be read."""
        ...

    def apply(self, desired: Version) -> str:
        """Fetches, checks, writes and proves a version directory, and returns its name. Does not swap."""
        ...

    def before_swap(self) -> None:
        """The last moment of the old version."""
        ...

    def act(self, applied: Applied) -> None:
        """Reload, command or signal; nothing for consumers that notice by themselves. Can be repeated."""
        ...

    def confirm(self, applied: Applied) -> Mapping[str, Running]:
        """What is really in use now. Raises RefusedByConsumer, or Unavailable while it is not seen yet."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """settled: desired is in force and confirmed. changed: something was swapped. next_at: when to look again."""

    settled: bool
    changed: bool
    next_at: datetime
    fault: Fault | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """Where and as whom a pass works."""

    name: str
    keys: Keys
    layout: Layout
    clock: Clock


class Convergence:
    """Passes for one subject in one directory."""

    def __init__(self, subject: Subject, directories: VersionDirectories, node: Node) -> None:
        self.subject = subject
        self._directories = directories
        self._node = node
        self._reported: tuple[bytes, datetime] | None = None

    def run(self) -> Outcome:
        """Raises Denied (STATE_DIR_LOCKED) when another process is at work; any other failure is an Outcome."""
        with self._directories.locked():
            try:
                return self._locked_run()
            except (
                Fault
            ) as fault:  # a full or failing disk: nothing could be written down, so everything is asked again
                return Outcome(False, False, self._node.clock.now() + PAUSE, fault)

    def applied(self) -> Applied:
        """The applied state as the directory itself shows it; for a look without a pass."""
        return self._load()

    def _locked_run(self) -> Outcome:
        applied = self._load()
        linked = self._directories.linked()
        entry = self._node.keys.read(self.subject.key)
        desired = None if entry is None else self.subject.desired(entry)
        for _ in range(_STEPS_IN_A_PASS):
            now = self._node.clock.now()
            decision = state.decide(desired, applied, self._intact(applied), now)
            if isinstance(decision, state.Wait):
                break
            applied = self._step(decision.step, desired, applied)
            self._save(applied)
        changed = self._directories.linked() != linked
        fault = self._report(desired, applied) or _fault(desired, applied)
        return self._outcome(desired, applied, changed, fault)

    def _outcome(self, desired: Version | None, applied: Applied, changed: bool, fault: Fault | None) -> Outcome:
        now = self._node.clock.now()
        decision = state.decide(desired, applied, self._intact(applied), now)
        next_at = decision.until if isinstance(decision, state.Wait) else now + timedelta(seconds=1)
        self._directories.sweep(frozenset((applied.directory, applied.good_directory)), now, GRACE)
        settled = desired is not None and applied.version == desired and applied.confirmed_at is not None
        return Outcome(settled, changed, next_at, fault, applied.version.number if applied.version else 0)

    def _step(self, step: Step, desired: Version | None, applied: Applied) -> Applied:
        digest = _digest(step, desired, applied)
        try:
            if step is Step.APPLY and desired is not None:
                return self._apply(desired, applied)
            if step is Step.ACT:
                self.subject.act(applied)
                return state.acted(applied)
            return state.confirmed(applied, self.subject.confirm(applied), self._node.clock.now())
        except RefusedByConsumer as fault:
            return self._refused(applied, digest, fault)
        except Fault as fault:
            if step is Step.CONFIRM and applied.directory:
                # A move wakes a consumer that missed the first one (envoyproxy/envoy#39498).
                with contextlib.suppress(Fault):
                    self._directories.swap(applied.directory, self._node.clock.now())
            return state.failed(applied, step, digest, fault, self._node.clock.now())

    def _apply(self, desired: Version, applied: Applied) -> Applied:
        if state.is_older(desired, applied) and applied.version is not None:
            text = f"the pointer went back from version {applied.version.number} to {desired.number}"
            raise Rejected(Code.ROLLBACK_REFUSED, text, hint="publish again; was Consul restored from a snapshot?")
        name = self.subject.apply(desired)
        self.subject.before_swap()
        self._directories.swap(name, self._node.clock.now())
        return state.swapped(applied, desired, name)

    def _refused(self, applied: Applied, digest: str, fault: Fault) -> Applied:
        now = self._node.clock.now()
        if applied.good is None or applied.good_directory == applied.directory:
            return state.failed(applied, Step.CONFIRM, digest, fault, now)
        if not self._directories.intact(applied.good_directory):
            return state.failed(applied, Step.CONFIRM, digest, fault, now)
        self.subject.before_swap()
        self._directories.swap(applied.good_directory, now)
        return state.failed(state.restored(applied), Step.APPLY, digest, fault, now)

    def _load(self) -> Applied:
        """The link is the truth: after a death between swap and save, the version in force counts as not acted on."""
        applied = memory.decode(self._directories.read("state/applied.json"))
        linked = self._directories.linked()
        if linked == applied.directory:
            return applied
        if applied.good is not None and linked == applied.good_directory:
            return state.restored(applied)
        return Applied(good=applied.good, good_directory=applied.good_directory, running=applied.running)

    def _save(self, applied: Applied) -> None:
        self._directories.place("state/applied.json", memory.encode(applied), private=True)

    def _intact(self, applied: Applied) -> bool:
        return applied.version is None or self._directories.intact(applied.directory)

    def _report(self, desired: Version | None, applied: Applied) -> Fault | None:
        """Writes the node report when it changed or is a minute old. A failure is tried again with the next pass."""
        now = self._node.clock.now()
        told = _node_report(self._node.name, desired, applied, now)
        if told is None:
            return None
        essence = report.encode(replace(told, at=_EPOCH))
        if self._reported and self._reported[0] == essence and now - self._reported[1] < REPORT_EVERY:
            return None
        key = self._node.layout.node(self.subject.owner, self._node.name)
        try:
            entry = self._node.keys.read(key)
            self._node.keys.commit([Put(key, report.encode(told), entry.modify_index if entry else 0)], None)
        except Conflict:
            return None  # two followers of one node name: the other's word stands until the next pass
        except Fault as fault:
            return fault
        self._reported = (essence, now)
        return None


def _digest(step: Step, desired: Version | None, applied: Applied) -> str:
    version = desired if step is Step.APPLY else applied.version
    return version.digest if version else ""


def _setback(desired: Version | None, applied: Applied) -> Setback | None:
    """The setback that still counts: one of a superseded version does not."""
    counting = [one for one in applied.setbacks if one.digest == _digest(one.step, desired, applied)]
    return min(counting, key=lambda one: one.step is not Step.APPLY, default=None)


def _fault(desired: Version | None, applied: Applied) -> Fault | None:
    setback = _setback(desired, applied)
    return None if setback is None else Fault(Code(setback.code), setback.text)


def _node_report(node: str, desired: Version | None, applied: Applied, now: datetime) -> Report | None:
    """What is proven to run, and why nothing newer does; None while there is nothing to tell."""
    setback = _setback(desired, applied)
    if setback is None and applied.good is None:
        return None
    return Report(
        node=node,
        at=now,
        state=NodeState.APPLIED if setback is None else NodeState.REFUSED,
        version=applied.good.number if applied.good else 0,
        digest=applied.good.digest if applied.good else "",
        credentials=applied.running,
        error_code=setback.code if setback else "",
        error_text=setback.text if setback else "",
    )
