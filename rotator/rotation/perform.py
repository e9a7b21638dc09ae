"""One action on one credential, and what came of it as events. Knows no "later": when to try again is the core's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotator.core import due, events, retry
from rotator.core.decide import Do
from rotator.core.errors import Code, Family, Fault
from rotator.core.model import Action, Facts, Pending, Record, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.spec import Spec
from rotator.kinds.base import Kind
from rotator.ports import Clock


@dataclass(frozen=True, slots=True)
class Step:
    """One credential with what it shall do."""

    spec: Spec
    record: Record
    do: Do


class Performer:
    """Turns an action into events. Never raises: a failure is an event like any other."""

    def __init__(self, kinds: Mapping[str, Kind], clock: Clock) -> None:
        self._kinds = kinds
        self._clock = clock
        self._acts = {Action.ISSUE: self._issue, Action.VERIFY: self._verify, Action.RETIRE: self._retire}

    def intend(self, step: Step, enrolled: int) -> tuple[events.Intended, ...]:
        """The durable intent. `enrolled`: how many credentials were enrolled before, for the phase of a first version.

        No effect outside: the journal that writes this event makes the intent durable before Vault is touched.
        """
        record, now = step.record, self._clock.now()
        version = record.last_version + 1
        phase = due.assign_phase(enrolled) if version == 1 else None
        mark = rotation_id(step.spec.id, version, now)
        return (events.Intended(now, step.spec.id, step.do.cause, version, mark, phase),)

    def act(self, step: Step, read_back: bool) -> tuple[events.Event, ...]:
        """Issue, verify or retire. `read_back`: an earlier try of this rotation may have got through."""
        try:
            return self._acts[step.do.action](step, read_back)
        except Fault as fault:
            return self.failed(step, fault)
        except Exception as problem:  # noqa: BLE001 - the one net: this credential slows down, the others go on
            # Only the type is named: the text of a foreign exception may carry a reply body.
            return self.failed(step, Fault(Code.BUG, f"unforeseen {type(problem).__name__} in {step.do.action.value}"))

    def failed(self, step: Step, fault: Fault) -> tuple[events.CredentialEvent, ...]:
        """The failure with the time of its next try; rejected material also closes the intent."""
        record, now = step.record, self._clock.now()
        again = retry.retry_at(record, step.do.action, fault.family, now)
        pending = record.pending
        mark = pending.rotation_id if pending else ""
        failure = events.Failed(
            now, step.spec.id, step.do.cause, step.do.action, fault.family, fault.code.value, fault.text, again, mark
        )
        # A retirement that is refused says nothing about the rotation that may be in flight beside it.
        if fault.family is not Family.REJECTED or pending is None or step.do.action is Action.RETIRE:
            return (failure,)
        cause = Cause(Reason.REJECTED, fault.text, (("code", fault.code.value),))
        given_up = events.Abandoned(now, step.spec.id, cause, mark, pending.version, pending.facts)
        return (failure, given_up)

    def published(self, step: Step, facts: Facts) -> events.Published:
        return events.Published(self._clock.now(), step.spec.id, step.do.cause, facts, step.record.current)

    def _issue(self, step: Step, read_back: bool) -> tuple[events.Event, ...]:
        pending = _pending(step)
        current = step.record.current
        stored_version = current.kv_version if current else 0
        result = self._kinds[step.spec.kind].issue(step.spec, pending, stored_version, read_back)
        now = self._clock.now()
        issued = events.Issued(now, step.spec.id, step.do.cause, result.facts, result.adopted)
        told: list[events.Event] = []
        if read_back and not result.adopted and _may_have_left_one(step.record):
            told.append(self._orphan(step, pending))
        told.append(issued)
        if result.verified:
            told.append(events.Verified(now, step.spec.id, step.do.cause, result.facts))
        return tuple(told)

    def _orphan(self, step: Step, pending: Pending) -> events.FleetEvent:
        """What an interrupted try may have left in Vault: harmless, nobody holds its key, and listed all the same."""
        text = "an earlier try of this rotation may have made what was never stored; its kind destroys what it can"
        evidence = (("rotation_id", pending.rotation_id), ("version", str(pending.version)))
        cause = Cause(Reason.RECOVERED, text, evidence)
        return events.FleetEvent(self._clock.now(), events.FleetEventName.ORPHAN_FOUND, str(step.spec.id), cause)

    def _verify(self, step: Step, read_back: bool) -> tuple[events.CredentialEvent, ...]:
        facts = _facts(step)
        self._kinds[step.spec.kind].verify(step.spec, facts)
        return (events.Verified(self._clock.now(), step.spec.id, step.do.cause, facts),)

    def _retire(self, step: Step, read_back: bool) -> tuple[events.CredentialEvent, ...]:
        facts = _facts(step)
        kind = self._kinds[step.spec.kind]
        end = kind.revoke if step.do.cause.reason is Reason.COMPROMISE else kind.retire
        end(step.spec, facts)
        return (events.Retired(self._clock.now(), step.spec.id, step.do.cause, facts),)


def _pending(step: Step) -> Pending:
    if step.record.pending is None:
        raise AssertionError("the core asked to issue without an intent")
    return step.record.pending


def _facts(step: Step) -> Facts:
    if step.do.facts is None:
        raise AssertionError(f"the core asked to {step.do.action.value} without naming the version")
    return step.do.facts


# After these, Vault may have issued although nothing was stored: the reply was lost, or the write came second.
_EFFECT_UNKNOWN = frozenset({Code.VAULT_UNREACHABLE, Code.VAULT_REPLY_MALFORMED, Code.VAULT_ERROR, Code.KV_CONFLICT})


def _may_have_left_one(record: Record) -> bool:
    """Whether the try before may have got as far as a certificate; without a failure the process died in it."""
    failure = record.failure
    return failure is None or (failure.action is Action.ISSUE and failure.code in _EFFECT_UNKNOWN)
