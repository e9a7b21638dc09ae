"""Copies of the head of an audit chain in Consul: a tail that is cut off at the disk still shows there (AUD-4).

Not signed yet: who can write both the file and this key can rewrite both.
"""

from __future__ import annotations

from rotator.core.errors import Code, Conflict, Denied, LeadershipLost
from rotator.ports import Clock, Fence, Keys, Put
from rotator.publish.layout import Layout
from rotator.records import codec
from rotator.records.audit import AuditChain
from rotator.records.chain import Anchor

FORMAT = 1


class Anchors:
    """Writes the anchor of one instance; a recurring job calls `publish`."""

    def __init__(self, keys: Keys, layout: Layout, clock: Clock) -> None:
        self._keys = keys
        self._layout = layout
        self._clock = clock

    def publish(self, audit: AuditChain, fence: Fence) -> Anchor:
        """Puts the head there by CAS; returns it. Does nothing when it is there already, or before the first line.

        Raises Denied (AUDIT_BLOCKED) when Consul knows a later line of the same chain: the file was set back.
        """
        chain, head = audit.anchor()
        key = self._layout.audit_anchor(fence.instance)
        entry = self._keys.read(key)
        if entry is not None:
            known_chain, known = decode(entry.value)
            if known_chain == chain and known.seq > head.seq:
                raise Denied(
                    Code.AUDIT_BLOCKED,
                    f"the audit chain ends at seq {head.seq}, but seq {known.seq} was anchored in Consul",
                    hint="lines are cut off: run rotator audit verify, and keep the file for the investigation",
                )
            if (known_chain, known) == (chain, head):
                return head
        if head.seq == 0:
            return head
        value = codec.dump(
            {
                "format": FORMAT,
                "chain": chain,
                "seq": head.seq,
                "hash": head.hash,
                "at": self._clock.now().isoformat(),
                "epoch": fence.epoch,
            }
        )
        self._put(Put(key, value, entry.modify_index if entry else 0), fence)
        return head

    def _put(self, put: Put, fence: Fence) -> None:
        """One instance writes one key: a conflict is our own lost reply, cleared up by the next run."""
        try:
            self._keys.commit([put], fence)
        except LeadershipLost:
            raise
        except Conflict:
            return


def decode(value: bytes) -> tuple[str, Anchor]:
    """(chain id, anchor). Raises Denied (RECORD_TOO_NEW) or Rejected (FACTS_UNREADABLE)."""
    raw = codec.load(value, FORMAT, "the audit anchor")
    try:
        return codec.string(raw["chain"]), Anchor.parse(f"{raw['seq']}:{codec.string(raw['hash'])}")
    except codec.UNREADABLE:
        raise codec.unreadable("the audit anchor", "lacks fields or holds a foreign value") from None
