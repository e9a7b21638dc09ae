"""Desired against applied: what must be done now. Pure; a watch that fires twice, late or never changes nothing here.

apply   -> a new version directory is in force by one swap
act     -> the reload, command or signal for it was done (once per change; repeated until it works)
confirm -> it is really in use (a proxy: seen served); asked again from time to time
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from rotator.core.errors import Family, Fault
from rotator.publish.report import Running

RECHECK = timedelta(seconds=60)
_TIMETABLE = (1, 2, 5, 10, 20, 30, 60, 120, 300)
# What was refused stays refused until somebody publishes something else, or repairs the node: no hurry.
_SLOW = (5, 15, 30, 60, 120, 300)
NONE: Mapping[str, Running] = MappingProxyType({})


class Step(StrEnum):
    APPLY = "apply"
    ACT = "act"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Version:
    """One published state. number: the document's version, 0 for agents. digest: SHA-256 hex of what it says."""

    number: int
    digest: str
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Setback:
    """The last failure of one step for one digest, with the time of the next try decided when it happened."""

    step: Step
    digest: str
    code: str
    text: str
    count: int
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """What a node has in force.

    version, directory: what `current` points at by our hand. acted, confirmed_at: how far it came.
    good, good_directory, running: the last version that was confirmed, and its credentials as seen in use.
    """

    version: Version | None = None
    directory: str = ""
    acted: bool = False
    confirmed_at: datetime | None = None
    good: Version | None = None
    good_directory: str = ""
    running: Mapping[str, Running] = field(default_factory=lambda: NONE)
    setbacks: tuple[Setback, ...] = ()


@dataclass(frozen=True, slots=True)
class Do:
    step: Step


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime


def decide(desired: Version | None, applied: Applied, intact: bool, now: datetime) -> Do | Wait:
    """The next step. `intact`: the files in force are as they were written. Total, and asking changes nothing."""
    waits = [now + RECHECK]
    for step, digest in _open(desired, applied, intact, now):
        held = next((one for one in applied.setbacks if one.step is step and one.digest == digest), None)
        if held is None or now >= held.retry_at:
            return Do(step)
        waits.append(held.retry_at)
    return Wait(min(waits))


def is_older(desired: Version, applied: Applied) -> bool:
    """Whether the pointer went back (Consul restored from an old snapshot). A rollback is a *new* version, and a
    version number that starts again after a restore comes with a later time: both are not older."""
    have = applied.version
    return have is not None and desired.number <= have.number and desired.issued_at < have.issued_at


def swapped(applied: Applied, version: Version, directory: str) -> Applied:
    """After the swap: everything about the new version is still to be done."""
    kept = tuple(one for one in applied.setbacks if one.step is not Step.APPLY and one.digest == version.digest)
    return replace(applied, version=version, directory=directory, acted=False, confirmed_at=None, setbacks=kept)


def acted(applied: Applied) -> Applied:
    return replace(applied, acted=True, setbacks=_without(applied, Step.ACT))


def confirmed(applied: Applied, running: Mapping[str, Running], now: datetime) -> Applied:
    """Proven: from now on this is the last good one."""
    return replace(
        applied,
        confirmed_at=now,
        good=applied.version,
        good_directory=applied.directory,
        running=running,
        setbacks=_without(applied, Step.CONFIRM),
    )


def restored(applied: Applied) -> Applied:
    """After swapping back to the last good version, which is to be confirmed again."""
    return replace(applied, version=applied.good, directory=applied.good_directory, acted=False, confirmed_at=None)


def failed(applied: Applied, step: Step, digest: str, fault: Fault, now: datetime) -> Applied:
    """One more failure of a step; the next try is set here, once, and survives a restart."""
    before = next((one for one in applied.setbacks if one.step is step and one.digest == digest), None)
    count = before.count if before else 0
    table = _SLOW if fault.family in (Family.REJECTED, Family.DENIED) else _TIMETABLE
    retry_at = now + timedelta(seconds=table[min(count, len(table) - 1)])
    setback = Setback(step, digest, fault.code.value, fault.text, count + 1, retry_at)
    return replace(applied, confirmed_at=None if step is Step.CONFIRM else applied.confirmed_at,
                   setbacks=(*_without(applied, step), setback))  # fmt: skip


def _open(desired: Version | None, applied: Applied, intact: bool, now: datetime) -> list[tuple[Step, str]]:
    steps = []
    if desired is not None and (desired != applied.version or not intact):
        steps.append((Step.APPLY, desired.digest))
    if applied.version is None:
        return steps
    if not applied.acted:
        steps.append((Step.ACT, applied.version.digest))
    elif applied.confirmed_at is None or now >= applied.confirmed_at + RECHECK or now < applied.confirmed_at:
        steps.append((Step.CONFIRM, applied.version.digest))
    return steps


def _without(applied: Applied, step: Step) -> tuple[Setback, ...]:
    return tuple(one for one in applied.setbacks if one.step is not step)
