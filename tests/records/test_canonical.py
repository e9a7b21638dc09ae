"""The fast way to the canonical form of an audit line must give the bytes of the reference, or nothing."""

from __future__ import annotations

from typing import Any

import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.records.chain import canonical

texts = st.text(st.characters(), max_size=12) | st.sampled_from(["\x7f", "\x00\x1f\b\t\n\f\r", '"\\/', "\u2028", "é😀"])
# Mostly plain names, so that one foreign thing at a time decides which way is taken.
names = st.sampled_from(["version", "at", "before", "\ufb33", "\U0001f600"]) | texts
edges = st.integers(2**53 - 2, 2**53 + 2) | st.integers(-(2**53) - 2, -(2**53) + 2)
leaves = st.none() | st.booleans() | st.integers(0, 9) | edges | st.floats() | texts
values = st.recursive(leaves, lambda one: st.lists(one, max_size=3) | st.dictionaries(names, one, max_size=4))
lines = st.dictionaries(names, values, max_size=3)


@settings(max_examples=400, deadline=None)
@given(lines)
def test_every_value_has_the_bytes_of_the_reference_or_is_refused_by_both(value: dict[str, Any]) -> None:
    """Another spelling of the same line would break the chain for everybody who verifies it."""
    assert _form(canonical, value) == _form(rfc8785.dumps, value)


def _form(encode: Any, value: dict[str, Any]) -> bytes | None:
    try:
        return bytes(encode(value))
    except ValueError:
        return None
