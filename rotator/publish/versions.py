"""How a document lies in Consul: an immutable manifest per version, parts for large ones, and one pointer.

Manifest at `proxy/<proxy>/versions/<n>`: `{format, version, digest, config_digest, size, parts, reason, request,
actor, issued_at, body}`; `body` holds the document text when `parts` is 0, else it is absent and the parts hold
consecutive slices of the body. Pointer at `proxy/<proxy>/current`: `{format, version, digest, issued_at, reason,
request}`. Parts are written before the manifest, manifest and pointer in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rotator.core.errors import Code, Rejected
from rotator.core.reasons import Cause
from rotator.publish import canonical
from rotator.publish.document import FORMAT, Document, parse

PART_BYTES = 256 * 1024
INLINE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    version: int
    digest: str
    config_digest: str
    size: int
    parts: int
    reason: str
    text: str
    actor: str
    request: str
    issued_at: datetime
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Pointer:
    """The document version in force."""

    version: int
    digest: str
    issued_at: datetime
    reason: str
    request: str


def split(document: Document) -> tuple[bytes, ...]:
    """The parts of a large document; empty when the manifest can hold it."""
    body = document.body
    if len(body) <= INLINE_BYTES:
        return ()
    return tuple(body[start : start + PART_BYTES] for start in range(0, len(body), PART_BYTES))


def encode_manifest(document: Document, version: int, cause: Cause, issued_at: datetime) -> bytes:
    parts = len(split(document))
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": version,
        "digest": document.digest,
        "config_digest": document.config_digest,
        "size": len(document.body),
        "parts": parts,
        "reason": cause.reason.value,
        "text": cause.text,
        "actor": f"{cause.actor.kind.value}/{cause.actor.id}",
        "request": cause.request,
        "issued_at": issued_at.isoformat(),
    }
    if not parts:
        manifest["body"] = document.body.decode()
    return canonical.encode(manifest)


def decode_manifest(value: bytes) -> Manifest:
    """Raises Rejected for anything that is not a manifest of our format."""
    raw = canonical.decode(value, "the manifest")
    try:
        return Manifest(
            version=raw["version"],
            digest=raw["digest"],
            config_digest=raw["config_digest"],
            size=raw["size"],
            parts=raw["parts"],
            reason=raw["reason"],
            text=raw["text"],
            actor=raw["actor"],
            request=raw["request"],
            issued_at=datetime.fromisoformat(raw["issued_at"]),
            body=raw["body"].encode() if raw["parts"] == 0 else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Rejected(Code.DOCUMENT_CORRUPT, "the manifest lacks fields or has a foreign format") from None


def join(manifest: Manifest, parts: Sequence[bytes]) -> Document:
    """The document of a manifest and its parts in order. Rejected when a part is missing or the digest differs."""
    if manifest.body is None and len(parts) != manifest.parts:
        raise Rejected(Code.DOCUMENT_CORRUPT, f"{len(parts)} of {manifest.parts} parts are there")
    body = manifest.body if manifest.body is not None else b"".join(parts)
    return parse(body, manifest.digest)


def encode_pointer(document: Document, version: int, cause: Cause, issued_at: datetime) -> bytes:
    return canonical.encode(
        {
            "format": FORMAT,
            "version": version,
            "digest": document.digest,
            "issued_at": issued_at.isoformat(),
            "reason": cause.reason.value,
            "request": cause.request,
        }
    )


def decode_pointer(value: bytes) -> Pointer:
    raw = canonical.decode(value, "the pointer")
    try:
        issued_at = datetime.fromisoformat(raw["issued_at"])
        return Pointer(int(raw["version"]), str(raw["digest"]), issued_at, str(raw["reason"]), str(raw["request"]))
    except (KeyError, TypeError, ValueError):
        raise Rejected(Code.DOCUMENT_CORRUPT, "the pointer lacks fields or has a foreign format") from None
