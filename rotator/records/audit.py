"""The witness: an append-only chain of JSON lines. What cannot be written down is not done (Denied AUDIT_BLOCKED).

One chain per instance. A batch is one write and one sync. Before each batch the file is looked at: a removed, replaced,
rotated or changed file never stops the chain, which goes on from the head in memory and says what happened; the
verifier then shows what is missing.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rotator.core.errors import Code, Denied, Fault
from rotator.core.events import Event, FleetEvent, FleetEventName
from rotator.core.reasons import Cause, Reason
from rotator.ports import AppendFile, Clock, Failpoint
from rotator.records import chain
from rotator.records.chain import Anchor, Head
from rotator.records.entry import entry

Evidence = tuple[tuple[str, str], ...]
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class AuditContext:
    """What every line says about the writer. `epoch` is that of its latest leadership, 0 before the first."""

    instance: str
    config_hash: str
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """sink: gets each durable line without its newline (stdout, the journal); its failures are counted, not raised.

    rotate_bytes: a file that would grow beyond this is set aside first; 0 means never.
    failpoint: crash tests only; splits each write in two and reaches K13 between the halves.
    """

    sink: Callable[[bytes], None] | None = None
    rotate_bytes: int = 0
    failpoint: Failpoint | None = None


class AuditChain:
    """`ports.Audit`. Thread-safe. Nothing is opened before `start` or the first `append`."""

    def __init__(
        self, file: AppendFile, clock: Clock, context: AuditContext, options: AuditOptions = AuditOptions()
    ) -> None:
        self._file = file
        self._clock = clock
        self._context = context
        self._options = options
        self._lock = threading.Lock()
        self._head: Head | None = None
        self._size = _UNKNOWN
        self._doubtful = False
        # What the chain itself has to say, kept until it is on disk: a full disk must not swallow a first line.
        self._owed: list[Event] = []
        self.sink_errors = 0

    def start(self) -> None:
        """Opens the file, repairs a torn last line, begins or continues the chain. Raises Denied (AUDIT_BLOCKED)."""
        self.append(())

    def append(self, events: Sequence[Event]) -> None:
        """See the port. After a failure nothing of the batch stays, or it is cut off before the next one."""
        with self._lock:
            try:
                self._owed += self._look()
                self._write(events)
            except Fault as fault:
                raise self._blocked(fault.text) from None
            except ValueError:
                raise self._blocked("an event has no canonical form") from None

    def head(self) -> tuple[int, str]:
        """(seq, hash) of the last durable line; (0, 64 zeros) before the first one of this process."""
        head = self._head
        return (head.seq, head.hash) if head else (0, chain.ZERO)

    def anchor(self) -> tuple[str, Anchor]:
        """Chain id and head, for a copy elsewhere that shows a cut-off tail."""
        head = self._head or Head("", 0, chain.ZERO)
        return head.chain, head.anchor

    def set_epoch(self, epoch: int) -> None:
        """From the next line on."""
        with self._lock:
            self._context = replace(self._context, epoch=epoch)

    def set_config_hash(self, config_hash: str) -> None:
        """From the next line on."""
        with self._lock:
            self._context = replace(self._context, config_hash=config_hash)

    def close(self) -> None:
        """Lets go of the file; a later `append` opens it again."""
        with self._lock:
            self._size = _UNKNOWN
            self._file.close()

    def _blocked(self, why: str) -> Denied:
        return Denied(
            Code.AUDIT_BLOCKED,
            f"the audit log cannot be written, so nothing is changed: {why}",
            hint=f"check space, owner and mode of {self._file.name}",
        )

    # --- looking before writing

    def _look(self) -> list[Event]:
        """Makes the file ready; returns what the chain has to say about it first."""
        if self._size == _UNKNOWN:
            return self._open(self._head)
        if self._file.displaced():
            self._size = _UNKNOWN
            return self._open(self._head)
        if self._doubtful:
            self._file.truncate(self._size)
            self._doubtful = False
        size = self._file.size()
        if size != self._size:
            return [self._changed(size)]
        return []

    def _open(self, known: Head | None) -> list[Event]:
        """Opens what stands at the path. `known`: our own head, when this process has written before."""
        self._file.begin()
        size = self._file.size()
        tail = self._file.read_tail(2 * chain.LINE_LIMIT)
        whole = tail[: tail.rfind(b"\n") + 1]
        torn = len(tail) - len(whole)
        last = _last_line(whole)
        if (whole or size > len(tail)) and (last is None or (known is not None and last != known)):
            return self._set_aside(known, size)
        if torn:
            self._file.truncate(size - torn)
        self._size = size - torn
        repaired = (
            [self._note(f"a torn last line of {torn} bytes was cut off", (("bytes", str(torn)),))] if torn else []
        )
        if last is not None:
            self._head = last
            return repaired
        return [self._begin(known), *repaired]

    def _set_aside(self, known: Head | None, size: int) -> list[Event]:
        """A file that is not ours, or whose last line is no witness any more, is kept for whoever investigates."""
        name = self._file.set_aside("damaged")
        self._file.begin()
        self._size = self._file.size()
        evidence = (("file", name), ("bytes", str(size)))
        return [self._begin(known), self._note("the file did not end in a valid line of this chain", evidence)]

    def _begin(self, known: Head | None) -> Event:
        """The first line of a file: continues the chain where its head is known, else starts a new one."""
        head = known or _last_line(self._file.newest_archive(2 * chain.LINE_LIMIT) or b"")
        if head is None:
            self._head = Head(uuid.uuid4().hex, 0, chain.ZERO)
            return self._event(FleetEventName.CHAIN_STARTED, "no earlier line was found", ())
        self._head = head
        return self._continued(head)

    def _changed(self, size: int) -> Event:
        """The same file has another length than we left: it is written on, behind a newline if it needs one."""
        if not self._file.read_tail(1).endswith(b"\n") and size:
            self._file.append(b"\n")
        text = "the file was changed by somebody else"
        note = self._note(text, (("bytes", str(size)), ("expected_bytes", str(self._size))))
        self._size = self._file.size()
        return note

    # --- writing

    def _write(self, events: Sequence[Event]) -> None:
        if not events and not self._owed:
            return
        lines, head = self._lines([*self._owed, *events])
        limit = self._options.rotate_bytes
        if limit and self._size and self._size + sum(map(len, lines)) > limit:
            self._owed.insert(0, self._rotate())
            lines, head = self._lines([*self._owed, *events])
        self._put(b"".join(lines))
        self._head = head
        self._owed.clear()
        for line in lines:
            self._tell(line)

    def _lines(self, events: Sequence[Event]) -> tuple[list[bytes], Head]:
        head = self._head
        if head is None:
            raise AssertionError("a chain is written before it is opened")
        context = self._context
        common = {
            "epoch": context.epoch,
            "instance": context.instance,
            "config_hash": context.config_hash,
            "monotonic_ms": int(self._clock.monotonic() * 1000),
        }
        lines = []
        for event in events:
            line, head = chain.seal({**entry(event), **common}, head)
            lines.append(line)
        return lines, head

    def _put(self, data: bytes) -> None:
        failpoint = self._options.failpoint
        pause = None if failpoint is None else lambda: failpoint.reach("K13", self._context.instance)
        try:
            self._file.append(data, pause)
        except BaseException:
            self._doubtful = True
            raise
        self._size += len(data)

    def _rotate(self) -> Event:
        """Death in between leaves an archive and no file, or an empty one: `_begin` finds the head in the archive."""
        head = self._head or Head("", 0, chain.ZERO)
        self._file.set_aside(f"{head.seq:012d}")
        self._size = _UNKNOWN
        self._file.begin()
        self._size = self._file.size()
        return self._continued(head)

    def _tell(self, line: bytes) -> None:
        sink = self._options.sink
        if sink is None:
            return
        try:
            sink(line.rstrip(b"\n"))
        except (OSError, ValueError):  # a closed pipe, a closed stream
            self.sink_errors += 1

    def _continued(self, head: Head) -> Event:
        evidence = (("previous_seq", str(head.seq)), ("previous_hash", head.hash))
        return self._event(FleetEventName.CHAIN_CONTINUED, "a new file continues the chain", evidence)

    def _note(self, text: str, evidence: Evidence) -> Event:
        return self._event(FleetEventName.AUDIT_REPAIRED, text, evidence)

    def _event(self, name: FleetEventName, text: str, evidence: Evidence) -> Event:
        return FleetEvent(self._clock.now(), name, "service", Cause(Reason.RECOVERED, text, evidence))


def _last_line(whole: bytes) -> Head | None:
    """The head that the last complete line makes; None when there is none or it does not verify."""
    end = whole.rfind(b"\n")
    if end < 0:
        return None
    record = chain.read(whole[whole.rfind(b"\n", 0, end) + 1 : end])
    return chain.head_of(record) if record else None
