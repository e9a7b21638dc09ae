"""What people and CI leave in Consul for the leader: inbox entries and suspensions, format 1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from rotator.core.reasons import Actor
from rotator.records import codec

FORMAT = 1


class RequestKind(StrEnum):
    ROTATE = "rotate"
    SUSPEND = "suspend"
    RESUME = "resume"
    ROLLBACK = "rollback"
    COMPROMISE = "compromise"


class RequestState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class InboxRequest:
    """One entry at `rotator/requests/<id>`. `outcome`: (target, words) pairs; `finished_at` is set with it.

    targets: credentials, owners, or `all`. to_version: of a rollback, the document version whose content comes back;
    None there means: end the hold.
    """

    id: str
    kind: RequestKind
    targets: tuple[str, ...]
    reason: str
    actor: Actor
    at: datetime
    to_version: int | None = None
    state: RequestState = RequestState.QUEUED
    outcome: tuple[tuple[str, str], ...] = ()
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SuspensionEntry:
    """One pause at `rotator/suspensions/<target>`; target is a credential, an owner, or `all`."""

    target: str
    reason: str
    actor: Actor
    at: datetime


def encode_request(request: InboxRequest) -> bytes:
    return codec.dump(
        {
            "format": FORMAT,
            "id": request.id,
            "kind": request.kind.value,
            "targets": list(request.targets),
            "reason": request.reason,
            "actor": codec.from_actor(request.actor),
            "at": request.at.isoformat(),
            "to_version": request.to_version,
            "state": request.state.value,
            "outcome": [[target, text] for target, text in request.outcome],
            "finished_at": None if request.finished_at is None else request.finished_at.isoformat(),
        }
    )


def decode_request(value: bytes) -> InboxRequest:
    """Raises Denied (RECORD_TOO_NEW) for a newer format, Rejected (FACTS_UNREADABLE) for anything else."""
    raw = codec.load(value, FORMAT, "the request")
    try:
        return InboxRequest(
            id=codec.string(raw["id"]),
            kind=RequestKind(raw["kind"]),
            targets=tuple(codec.string(target) for target in raw["targets"]),
            reason=codec.string(raw["reason"]),
            actor=codec.to_actor(raw["actor"]),
            at=codec.moment(raw["at"]),
            to_version=_version(raw["to_version"]),
            state=RequestState(raw["state"]),
            outcome=tuple((codec.string(target), codec.string(text)) for target, text in raw["outcome"]),
            finished_at=codec.to_time(raw["finished_at"]),
        )
    except codec.UNREADABLE:
        raise codec.unreadable("the request", "lacks fields or holds a foreign value") from None


def encode_suspension(pause: SuspensionEntry) -> bytes:
    return codec.dump(
        {
            "format": FORMAT,
            "target": pause.target,
            "reason": pause.reason,
            "actor": codec.from_actor(pause.actor),
            "at": pause.at.isoformat(),
        }
    )


def decode_suspension(value: bytes) -> SuspensionEntry:
    """Raises Denied (RECORD_TOO_NEW) for a newer format, Rejected (FACTS_UNREADABLE) for anything else."""
    raw = codec.load(value, FORMAT, "the suspension")
    try:
        target, reason = codec.string(raw["target"]), codec.string(raw["reason"])
        return SuspensionEntry(target, reason, codec.to_actor(raw["actor"]), codec.moment(raw["at"]))
    except codec.UNREADABLE:
        raise codec.unreadable("the suspension", "lacks fields or holds a foreign value") from None


def _version(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise TypeError("not a version number")
    return value
