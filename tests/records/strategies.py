"""Arbitrary values of the core's model, for round trips."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from rotator.core.errors import Family
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.model import Action, Facts, Failure, Pending, Record, Request, Retiring, Stage
from rotator.core.reasons import Actor, ActorKind, Cause, Reason

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
times = st.integers(0, 7 * 10**15).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))
texts = st.text(max_size=30)
counts = st.integers(0, 2**53 - 1)
names = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
targets = st.builds(CredentialId, st.builds(Owner, st.sampled_from(OwnerKind), names), names)
actors = st.builds(Actor, st.sampled_from(ActorKind), texts)
evidence = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
causes = st.builds(Cause, st.sampled_from(Reason), texts, evidence, actors, texts)
facts = st.builds(Facts, counts, texts, texts, counts, times, times, times, texts, texts, texts, texts)
pendings = st.builds(Pending, counts, texts, st.sampled_from(Stage), causes, times, st.none() | facts)
retirings = st.builds(Retiring, facts, times, counts, st.none() | times, st.none() | times)
failures = st.builds(
    Failure, st.sampled_from(Action), st.sampled_from(Family), texts, texts, times, st.integers(1, 99), times
)
requests = st.builds(Request, texts, texts, actors, times, st.booleans())
records = st.builds(
    Record,
    id=targets,
    last_version=counts,
    phase=st.none() | st.floats(0, 1),
    current=st.none() | facts,
    published_at=st.none() | times,
    adopted_at=st.none() | times,
    pending=st.none() | pendings,
    retiring=st.lists(retirings, max_size=2).map(tuple),
    failure=st.none() | failures,
    request=st.none() | requests,
    attempts=st.lists(times, max_size=4).map(tuple),
    last_cause=st.none() | causes,
    retire_failure=st.none() | failures,
)
