"""Which verify keys proxies are told of, and which version may sign now. From the records of this leadership alone.

    verified -> in the documents of all proxies (published) -> every node runs one of them (adopted) -> signs
    replaced -> signs on until its successor is adopted -> stays in the documents for the overlap -> retired

A version that was reported as compromised neither signs nor stands in a document from that moment on.
"""

from __future__ import annotations

from collections.abc import Callable

from rotator.core.identity import CredentialId
from rotator.core.model import Facts, Record
from rotator.publish.document import SignerKeys
from rotator.rotation.agents import facts_to_publish

Look = Callable[[CredentialId], Record]


class Standing:
    """`ports.Signers`, fed by the reign. Threads of a wave read it while nothing writes records."""

    def __init__(self) -> None:
        self._look: Look = Record

    def serve(self, look: Look) -> None:
        """From now on the records of this leadership count."""
        self._look = look

    def active(self, signer: CredentialId) -> Facts | None:
        return active(self._look(signer))

    def published(self, signer: CredentialId) -> tuple[Facts, ...]:
        return announced(self._look(signer))


def active(record: Record) -> Facts | None:
    """The newest version that was proven to be in use by all consumers; it signs until its successor is."""
    current = record.current
    proven = [current] if current is not None and record.adopted_at is not None else []
    proven += [old.facts for old in record.retiring if old.proven_at is not None]
    return next(iter(_newest_first(record, proven)), None)


def announced(record: Record) -> tuple[Facts, ...]:
    """The versions whose verify keys belong into documents: one that waits for its publication, the current one, and
    every old one that is not retired yet."""
    new = facts_to_publish(record)
    listed = [facts for facts in (new, record.current) if facts is not None]
    return _newest_first(record, [*listed, *(old.facts for old in record.retiring)])


def keys_of(signer: CredentialId, record: Record) -> SignerKeys:
    return SignerKeys(str(signer), announced(record))


def _newest_first(record: Record, listed: list[Facts]) -> tuple[Facts, ...]:
    denied = {one.facts.version for one in record.denied}
    known = {facts.version: facts for facts in listed if facts.version not in denied}
    return tuple(known[version] for version in sorted(known, reverse=True))
