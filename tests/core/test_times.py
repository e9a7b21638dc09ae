"""Renewal times, retry times and maintenance windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.core import due, events, retry, windows
from rotator.core.apply import apply
from rotator.core.decide import Do, Wait, decide
from rotator.core.errors import Family
from rotator.core.identity import CredentialId
from rotator.core.model import Action, Failure
from rotator.core.reasons import Cause, Reason
from rotator.core.spec import Policy
from rotator.core.windows import Window

from .samples import HOUR, NOW, SECOND, TARGET, make_facts, make_record, make_spec

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
LONGEST = timedelta(seconds=900 * 1.2)

weekly = st.builds(Window, st.frozensets(st.integers(0, 6), min_size=1), st.times(), st.times(), st.sampled_from(ZONES))
# Around both clock changes of 2026 in both hemispheres, and anywhere.
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(
    version=st.integers(2, 10**6), life=st.integers(60, 10**8), renew_at=st.floats(0.3, 0.7), spread=st.floats(0, 0.1)
)
def test_renewal_lies_in_its_band_and_stays_there(version: int, life: int, renew_at: float, spread: float) -> None:
    """Drawn once: the same on every instance and after every restart."""
    spec = make_spec(Policy(renew_at=renew_at, spread=spread))
    record = make_record(version, life=timedelta(seconds=life))
    at = due.renewal_at(spec, record)
    assert at is not None
    assert at == due.renewal_at(spec, record)
    share = (at - NOW).total_seconds() / life
    assert renew_at - spread - 1e-4 <= share <= renew_at + 1e-4


@pytest.mark.parametrize("fleet", [100, 1000, 20000])
def test_fleet_enrolled_in_one_second_is_flat_in_its_first_cycle(fleet: int) -> None:
    """Others are 20 to 540 times above the mean (reference: performance 3.1)."""
    buckets = [0] * (fleet // 20)
    for ordinal in range(fleet):
        phase = due.assign_phase(ordinal)
        assert 0 < phase <= 1
        buckets[min(int(phase * len(buckets)), len(buckets) - 1)] += 1
    assert max(buckets) / (fleet / len(buckets)) <= 1.1


def test_phase_counts_for_the_first_version_only() -> None:
    """One early renewal is the price of a flat fleet; more would be waste."""
    spec, phased = make_spec(), replace(make_record(1), phase=0.5)
    assert due.renewal_at(spec, phased) == NOW + 4 * HOUR
    assert (due.renewal_at(spec, replace(make_record(2), phase=0.5)) or NOW) > NOW + 7 * HOUR


@given(
    count=st.integers(0, 10**6),
    family=st.sampled_from(Family),
    action=st.sampled_from([Action.ISSUE, Action.VERIFY, Action.PUBLISH, Action.RETIRE]),
    left=st.integers(-(10**6), 10**7),
)
def test_retry_is_never_at_once_never_never_and_within_a_quarter_of_the_life_left(
    count: int, family: Family, action: Action, left: int
) -> None:
    """A hot loop breaks Vault; a long wait lets the credential die."""
    held = retry.held_action(action, family)
    failure = Failure(held, family, "E", "x", NOW, count, NOW)
    record = replace(make_record(life=10**7 * SECOND, issued=NOW), failure=failure, retire_failure=failure)
    record = replace(record, current=replace(make_facts(2), not_after=NOW + left * SECOND))
    delay = retry.retry_at(record, action, family, NOW) - NOW
    assert SECOND <= delay <= LONGEST
    if left > 4:
        assert delay <= left * SECOND / 4


def test_failures_in_a_row_wait_longer() -> None:
    """The timetable is followed, and starts again after a success."""
    record, delays = make_record(), []
    for number in range(5):
        now = NOW + number * HOUR / 10
        at = retry.retry_at(record, Action.PUBLISH, Family.UNAVAILABLE, now)
        delays.append(at - now)
        failed = events.Failed(now, TARGET, Cause(Reason.DUE), Action.PUBLISH, Family.UNAVAILABLE, "E", "x", at)
        record = apply(record, failed)
    assert delays == sorted(delays)
    done = apply(record, events.Published(NOW, TARGET, Cause(Reason.DUE), make_facts(3)))
    assert retry.retry_at(done, Action.PUBLISH, Family.UNAVAILABLE, NOW) - NOW < 2 * SECOND


@given(listed=st.lists(weekly, max_size=3), now=moments, life=st.integers(60, 10**7), used=st.floats(0, 1.2))
def test_window_never_pushes_a_renewal_past_the_floor(
    listed: list[Window], now: datetime, life: int, used: float
) -> None:
    """Whatever windows are configured, in whatever zone: at the floor it goes."""
    span = timedelta(seconds=life)
    spec = make_spec(Policy(windows=tuple(listed)))
    record = make_record(issued=now - span * used, life=span)
    assert record.current is not None
    floor = due.floor_at(spec, record.current)
    answer = decide(spec, record, now)
    if now >= floor:
        assert isinstance(answer, Do)
    if isinstance(answer, Wait):
        assert now < answer.until <= floor
        assert isinstance(decide(spec, record, floor), Do)


@given(listed=st.lists(weekly, min_size=1, max_size=3), now=moments)
def test_next_opening_is_a_moment_at_which_it_is_open(listed: list[Window], now: datetime) -> None:
    """Also where the clock on the wall jumps: an opening that is not open would be looked at for ever."""
    opening = windows.next_opening(listed, now)
    if opening is not None:
        assert opening >= now
        assert windows.is_open(listed, opening)


@pytest.mark.parametrize(
    ("window", "at", "is_open"),
    [
        (Window(frozenset({6}), time(2), time(4), "Europe/Berlin"), datetime(2026, 3, 22, 1, 0, tzinfo=UTC), True),
        (Window(frozenset({6}), time(2), time(4), "Europe/Berlin"), datetime(2026, 3, 22, 3, 0, tzinfo=UTC), False),
        # 29 March: the clock jumps from two to three; 25 October: from three back to two.
        (Window(frozenset({6}), time(1), time(4), "Europe/Berlin"), datetime(2026, 3, 29, 1, 59, tzinfo=UTC), True),
        (
            Window(frozenset({6}), time(2, 30), time(3), "Europe/Berlin"),
            datetime(2026, 3, 29, 1, 15, tzinfo=UTC),
            False,
        ),
        (Window(frozenset({6}), time(1), time(4), "Europe/Berlin"), datetime(2026, 10, 25, 2, 59, tzinfo=UTC), True),
        # Past midnight: it belongs to the day on which it opens.
        (Window(frozenset({4}), time(22), time(2)), datetime(2026, 3, 7, 1, 0, tzinfo=UTC), True),
        (Window(frozenset({4}), time(22), time(2)), datetime(2026, 3, 6, 1, 0, tzinfo=UTC), False),
    ],
)
def test_window_follows_the_clock_on_the_wall(window: Window, at: datetime, is_open: bool) -> None:
    """People agree on local time; the arithmetic is in UTC."""
    assert windows.is_open([window], at) is is_open


def test_spread_differs_between_credentials_and_versions() -> None:
    """The same share for all would move the peak instead of flattening it."""
    shares = {due.fixed_share(CredentialId.parse(f"agent/a{n % 50}/tls"), n // 50) for n in range(1000)}
    assert len(shares) == 1000


def test_opening_in_the_skipped_hour_of_spring_is_passed_over() -> None:
    """On 29 March 2026 half past two does not exist in Berlin; three o'clock comes before it: closed that day."""
    window = Window(frozenset({6}), time(2, 30), time(3), "Europe/Berlin")
    opening = windows.next_opening([window], datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert opening == datetime(2026, 4, 5, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("left", [0.5, 1, 3.9])
def test_last_seconds_of_a_life_are_no_reason_to_hurry_below_a_second(left: float) -> None:
    """A quarter of nearly nothing would be a hot loop just before the expiry."""
    record = replace(make_record(), current=replace(make_facts(2), not_after=NOW + left * SECOND))
    assert retry.retry_at(record, Action.ISSUE, Family.UNAVAILABLE, NOW) == NOW + SECOND
