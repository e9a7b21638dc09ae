"""A node says which verify keys its proxy runs: by that the service knows when a new key may sign."""

from __future__ import annotations

from datetime import timedelta

from rotator.core.model import Facts
from rotator.follower.proxies.contract import Answer
from rotator.publish.document import SignerKeys
from rotator.publish.report import Running
from tests.follower.world import StubAdapter, World

SIGNER = "signer/tokens/key"


def keys(world: World, *versions: int) -> tuple[SignerKeys, ...]:
    """Newest first."""
    now = world.clock.now()
    listed = (
        Facts(
            version, "r", "signers/tokens/key", version, now, now, now + timedelta(days=30),
            serial=f"kid-{version}", fingerprint=f"{version:064x}",
            details=(("kid", f"kid-{version}"), ("x", "AA"), ("y", "BB")),
        )
        for version in versions
    )  # fmt: skip
    return (SignerKeys(SIGNER, tuple(listed)),)


def test_the_newest_verify_key_of_the_document_in_force_is_reported(world: World) -> None:
    """Beside the served certificate, by its full name: version, `kid` and fingerprint."""
    world.signers = keys(world, 2, 1)
    world.publish(1, world.server())
    world.proxy(StubAdapter()).run()
    told = world.report().credentials
    assert set(told) == {"tls", SIGNER}
    assert told[SIGNER] == Running(2, "kid-2", f"{2:064x}")


def test_a_key_of_a_refused_document_is_not_reported(world: World) -> None:
    """The proxy goes on with the document before: a token of the new key would be refused there."""
    world.signers = keys(world, 1)
    world.publish(1, world.server())
    world.proxy(StubAdapter()).run()
    world.signers = keys(world, 2, 1)
    world.publish(2, world.server())
    world.proxy(StubAdapter(answers=Answer.REFUSED)).run()
    assert world.report().credentials[SIGNER].version == 1


def test_a_document_that_is_not_seen_in_use_proves_nothing(world: World) -> None:
    """Files in place are no evidence; the proxy has not taken them yet."""
    world.signers = keys(world, 1)
    world.publish(1, world.server())
    world.proxy(StubAdapter(answers=Answer.WAITING)).run()
    assert SIGNER not in world.report().credentials


def test_without_tokens_nothing_is_said_of_keys(world: World) -> None:
    """Most fleets have none."""
    world.publish(1, world.server())
    world.proxy(StubAdapter()).run()
    assert set(world.report().credentials) == {"tls"}
