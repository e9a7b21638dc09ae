"""What a node runs: written by followers, read by the service as adoption evidence.

`{format, node, at, version, digest, state, error: {code, text} | null, credentials: {name: {version, serial,
fingerprint}}}`. For a proxy, `version` and `digest` are those of the document and `serial` is the one that the
follower *saw served* by its own TLS probe; for an agent, `version` is 0 and the credentials are those on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rotator.core.errors import Code, Rejected
from rotator.publish import canonical

FORMAT = 1


class NodeState(StrEnum):
    APPLIED = "applied"
    REFUSED = "refused"  # the desired version was not taken; `error` says why; the rest describes what still runs


@dataclass(frozen=True, slots=True)
class Running:
    """One credential as a node really runs it."""

    version: int
    serial: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Report:
    node: str
    at: datetime
    state: NodeState
    version: int = 0
    digest: str = ""
    credentials: Mapping[str, Running] = field(default_factory=dict)
    error_code: str = ""
    error_text: str = ""


def encode(report: Report) -> bytes:
    error = {"code": report.error_code, "text": report.error_text} if report.error_code else None
    credentials = {
        name: {"version": run.version, "serial": run.serial, "fingerprint": run.fingerprint}
        for name, run in report.credentials.items()
    }
    return canonical.encode(
        {
            "format": FORMAT,
            "node": report.node,
            "at": report.at.isoformat(),
            "state": report.state.value,
            "version": report.version,
            "digest": report.digest,
            "error": error,
            "credentials": credentials,
        }
    )


def decode(value: bytes) -> Report:
    """Raises Rejected for anything that is not a report of our format: followers are not trusted to be ours."""
    raw = canonical.decode(value, "the node report")
    try:
        error = raw["error"] or {"code": "", "text": ""}
        credentials = {
            str(name): Running(int(run["version"]), str(run["serial"]), str(run["fingerprint"]))
            for name, run in raw["credentials"].items()
        }
        return Report(
            node=str(raw["node"]),
            at=datetime.fromisoformat(raw["at"]),
            state=NodeState(raw["state"]),
            version=int(raw["version"]),
            digest=str(raw["digest"]),
            credentials=credentials,
            error_code=str(error["code"]),
            error_text=str(error["text"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Rejected(Code.DOCUMENT_CORRUPT, "the node report lacks fields or has a foreign format") from None
