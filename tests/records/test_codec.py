"""Records and requests survive Consul; what is damaged or newer is refused by family."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.core.errors import Code, Denied, Rejected
from rotator.core.model import Record
from rotator.core.reasons import Actor, ActorKind
from rotator.records import codec, requests
from rotator.records.requests import InboxRequest, RequestKind, RequestState, SuspensionEntry
from tests.core.samples import NOW, TARGET, make_record
from tests.records import strategies as some

inbox = st.builds(
    InboxRequest,
    id=some.texts,
    kind=st.sampled_from(RequestKind),
    targets=st.lists(some.texts, max_size=3).map(tuple),
    reason=some.texts,
    actor=some.actors,
    at=some.times,
    to_version=st.none() | st.integers(1, 10**6),
    state=st.sampled_from(RequestState),
    outcome=some.evidence,
    finished_at=st.none() | some.times,
)


@given(some.records)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    """What is lost on the way to Consul is lost for the next leader."""
    value = codec.encode_record(record)
    assert codec.decode_record(value) == record
    assert codec.encode_record(codec.decode_record(value)) == value


@given(inbox, st.builds(SuspensionEntry, some.texts, some.texts, some.actors, some.times))
def test_every_request_and_pause_comes_back_as_it_was(request: InboxRequest, pause: SuspensionEntry) -> None:
    """The words of the person who asked reach the audit unchanged."""
    assert requests.decode_request(requests.encode_request(request)) == request
    assert requests.decode_suspension(requests.encode_suspension(pause)) == pause


def test_half_a_surrogate_pair_survives() -> None:
    """JSON from a CI job may hold one; it must not stop the wave that carries it."""
    request = InboxRequest("1", RequestKind.ROTATE, (), "\ud800", Actor(ActorKind.HOOK, "ci"), NOW)
    assert requests.decode_request(requests.encode_request(request)).reason == "\ud800"


def test_a_newer_format_is_denied_not_guessed() -> None:
    """F39: an older instance must not rewrite what it does not understand."""
    raw = json.loads(codec.encode_record(make_record()))
    value = json.dumps({**raw, "format": 2}).encode()
    with pytest.raises(Denied) as caught:
        codec.decode_record(value)
    assert caught.value.code is Code.RECORD_TOO_NEW
    assert "upgrade" in caught.value.hint


def test_a_time_beyond_the_calendar_is_rejected() -> None:
    """Converting it to UTC overflows, which is not a ValueError."""
    raw = json.loads(codec.encode_record(make_record()))
    raw["published_at"] = "0001-01-01T00:00:00+14:00"
    with pytest.raises(Rejected):
        codec.decode_record(json.dumps(raw).encode())


@pytest.mark.parametrize("value", [b"", b"{", b"null", b"[]", b"{}", b'{"format":"1"}', b"\xff", b'{"format":true}'])
def test_what_is_no_record_is_rejected(value: bytes) -> None:
    """An operator's edit is a Rejected with words, never a traceback."""
    with pytest.raises(Rejected) as caught:
        codec.decode_record(value)
    assert caught.value.code is Code.FACTS_UNREADABLE


def test_nesting_without_end_is_rejected() -> None:
    """The JSON reader's recursion limit is not an unforeseen error."""
    with pytest.raises(Rejected):
        codec.decode_record(b"[" * 200_000)


@given(some.records, st.data())
def test_a_damaged_field_is_refused_or_harmless(record: Record, data: st.DataObject) -> None:
    """Whatever stands in one field: a Fault or a record, nothing else."""
    raw: dict[str, Any] = json.loads(codec.encode_record(record))
    field = data.draw(st.sampled_from(sorted(raw)))
    raw[field] = data.draw(st.none() | st.booleans() | st.integers() | st.text() | st.just([]) | st.just({}))
    # Anything but the two codes fails the test by itself.
    with contextlib.suppress(Rejected, Denied):
        codec.decode_record(json.dumps(raw).encode())


def test_a_time_without_zone_is_refused() -> None:
    """Such a time may be hours off, and expiry is judged by it."""
    raw = json.loads(codec.encode_record(make_record()))
    raw["published_at"] = "2026-03-02T12:00:00"
    with pytest.raises(Rejected):
        codec.decode_record(json.dumps(raw).encode())


def test_stored_names_stay_what_they_are() -> None:
    """The format is a promise to the next version: renaming a field in the core must not change it."""
    raw = json.loads(codec.encode_record(make_record()))
    assert raw["id"] == str(TARGET)
    assert sorted(raw) == [
        "adopted_at",
        "attempts",
        "current",
        "failure",
        "format",
        "id",
        "last_cause",
        "last_version",
        "pending",
        "phase",
        "published_at",
        "request",
        "retire_failure",
        "retiring",
    ]
