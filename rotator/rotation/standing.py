"""Which verify keys proxies are told of, and which version may sign now. From the records of this leadership alone.

    verified -> in the documents of all proxies (published) -> every node runs one of them (adopted) -> signs
    replaced -> signs on until its successor is adopted -> stays in the documents for the overlap -> retired

A version that was reported as compromised neither signs nor stands in a document from that moment on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rotator.core.identity import CredentialId
from rotator.core.jwk import KID
from rotator.core.kind_settings import JwtSettings
from rotator.core.model import Facts, Record, Request
from rotator.core.reasons import SERVICE
from rotator.core.spec import Spec
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


def unverifiable(specs: Iterable[Spec], look: Look) -> Iterator[tuple[CredentialId, Request]]:
    """Tokens in force that nobody verifies any more, because their key was reported as compromised: each with the
    request that replaces it. Under the id of the report, so that it is asked for once."""
    for spec in specs:
        record = look(spec.id)
        if not isinstance(spec.settings, JwtSettings) or record.current is None:
            continue
        denials = {one.facts.serial: one for one in look(spec.settings.signer).denied}
        denial = denials.get(dict(record.current.details).get(KID, ""))
        if denial is not None and not _asked(record, denial.request):
            text = f"the key that signed it was reported as compromised: {spec.settings.signer}"
            yield spec.id, Request(denial.request, text, SERVICE, denial.at, compromise=True)


def keys_of(signer: CredentialId, record: Record) -> SignerKeys:
    return SignerKeys(str(signer), announced(record))


def _asked(record: Record, request: str) -> bool:
    causes = (record.last_cause, record.pending.cause if record.pending else None)
    waiting = record.request is not None and record.request.id == request
    return waiting or any(cause is not None and cause.request == request for cause in causes)


def _newest_first(record: Record, listed: list[Facts]) -> tuple[Facts, ...]:
    denied = {one.facts.version for one in record.denied}
    known = {facts.version: facts for facts in listed if facts.version not in denied}
    return tuple(known[version] for version in sorted(known, reverse=True))
