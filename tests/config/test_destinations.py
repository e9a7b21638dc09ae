"""Two credentials never share a place in Vault: the later one would overwrite the earlier one's key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rotator.config.freeze import kv_path
from rotator.core.identity import NAME, CredentialId, Owner, OwnerKind

NAMES = st.from_regex(NAME, fullmatch=True)
IDS = st.builds(CredentialId, st.builds(Owner, st.sampled_from(OwnerKind), NAMES), NAMES)


@given(one=IDS, other=IDS)
def test_different_credentials_have_different_places(one: CredentialId, other: CredentialId) -> None:
    """Holds by construction, whatever names are chosen; so there is nothing to check at load."""
    assert (kv_path(one) == kv_path(other)) == (one == other)


@given(target=IDS)
def test_an_owner_reaches_its_own_credentials_alone(target: CredentialId) -> None:
    """Policies grant `agents/<agent>/*`: the path must have the owner as a whole segment, and nothing to climb."""
    kind, owner, name = kv_path(target).split("/")
    assert (kind, owner, name) == (f"{target.owner.kind}s".replace("proxys", "proxies"), target.owner.name, target.name)
