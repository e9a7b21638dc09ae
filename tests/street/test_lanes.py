"""Two waves under way at a time: neither waits for the other, and neither is harmed by the other's failure."""

from __future__ import annotations

import threading
from datetime import timedelta

from rotator.core.errors import Code, Unavailable
from rotator.core.events import event_name
from tests.fakes.consul import When
from tests.fakes.vault import Operation

from .world import Street, fleet

NAMES = tuple(f"agent-{letter}" for letter in "abcdef")


def test_the_next_wave_is_with_vault_while_this_one_is_written_down() -> None:
    """One after the other, the machine would idle in the Vault calls and Vault in the writes."""
    street = Street(fleet(agents=NAMES), wave=2)
    one = street.start()
    one.settle()
    told = [event_name(event) for event in one.audit.events]
    assert told.index("issued") == 2 * 2 + told.index("intended"), "two waves are intended before the first is issued"
    assert told.count("published") == told.count("intended")
    street.close()


def test_a_wave_that_cannot_be_written_leaves_no_vault_call_behind_and_every_certificate_is_made_once() -> None:
    """A call that outlived its cycle could meet the next try of the same credential."""
    street = Street(fleet(agents=NAMES), wave=2)
    one = street.start()
    away, refused = threading.Event(), threading.Event()
    issue, begun, ended = street.secrets.issue_certificate, list[int](), list[int]()

    def issue_and_lose_consul(request: object) -> object:
        begun.append(1)
        away.set()
        # Vault answers a moment after the cycle has met the fault.
        refused.wait(5)
        threading.Event().wait(0.02)
        material = issue(request)  # type: ignore[arg-type]
        ended.append(1)
        return material

    def fails(operation: str, moment: When) -> None:
        if away.is_set() and moment is When.BEFORE:
            refused.set()
            raise Unavailable(Code.CONSUL_UNREACHABLE, "Consul did not answer")

    street.secrets.issue_certificate = issue_and_lose_consul  # type: ignore[assignment, method-assign]
    street.meet(fails)
    one.run()
    left_behind = len(begun) - len(ended)
    street.pool.submit(lambda: None).result(10)
    assert (left_behind, len(begun)) == (0, len(ended))
    street.secrets.issue_certificate = issue  # type: ignore[method-assign]
    street.meet(lambda operation, moment: away.clear())
    away.clear()
    for _ in range(8):
        street.clock.advance(timedelta(seconds=1))
        one.settle()
    made = [street.record(spec.id) for spec in street.fleet.specs()]
    assert all(record.current is not None and record.pending is None for record in made)
    assert street.secrets.count(Operation.ISSUE) == len(made)
    street.close()
