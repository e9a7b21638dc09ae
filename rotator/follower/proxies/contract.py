"""What a proxy kind must offer to a follower: files for a version, its own checker's words, and what it says it runs.

A new kind of proxy is one file in this folder (and its template): `follower/proxy.py` knows only this protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from rotator.core.secret import Secret

SHOWN_WORDS = 300


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """One file of a version directory. `path` is relative; a Secret becomes a file that only its owner may read."""

    path: str
    content: str | Secret


@dataclass(frozen=True, slots=True)
class ServerMaterial:
    """The proxy's own, already verified key pair. `fullchain`: leaf first, then its issuers, PEM, no blank lines."""

    fullchain: str
    private_key: Secret


@dataclass(frozen=True, slots=True)
class Place:
    """root: the proxy's directory, absolute. version: the final path of the directory that is being written."""

    root: Path
    version: Path
    node: str

    @property
    def current(self) -> Path:
        """The one symlink that is swapped."""
        return self.root / "current"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a rendering depends on. `content` is a parsed and verified document (`publish/document.py`)."""

    number: int
    content: Mapping[str, Any]
    material: ServerMaterial
    place: Place


class Answer(StrEnum):
    """What a proxy says about a version that was put before it."""

    TAKEN = "taken"
    WAITING = "waiting"  # not yet seen; ask again
    REFUSED = "refused"  # it saw the version and went on with the old one
    SILENT = "silent"  # the proxy cannot be asked (not running, or the kind has no such interface)


class ProxyAdapter(Protocol):
    """One kind of proxy."""

    name: str
    needs_reload: bool  # whether a new version takes effect only after the configured reload command or signal

    def render(self, inputs: Inputs) -> tuple[RenderedFile, ...]:
        """All files of one version. Pure. Raises Rejected (DOCUMENT_UNSUPPORTED) for what this kind cannot enforce."""
        ...

    def standing(self, place: Place) -> tuple[RenderedFile, ...]:
        """Files beside the versions, written when absent or different (the bootstrap); they name no version."""
        ...

    def check_command(self, version: Path) -> tuple[str, ...]:
        """The proxy's own checker for a complete version directory that is not in force yet."""
        ...

    def words(self, output: str) -> str:
        """Why the checker refused, at most SHOWN_WORDS characters of its output, without time stamps."""
        ...

    def mark(self) -> int | None:
        """Taken before a swap and given to `answer`, so that a refusal of *this* version can be told from older ones;
        None when the proxy cannot be asked."""
        ...

    def answer(self, number: int, mark: int | None) -> Answer:
        """What the running proxy says about version `number`. Never raises for an unreachable proxy: SILENT."""
        ...
