"""Whatever is done to a finished chain, the verifier sees it and names the place (reliability 4.7)."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotator.records import chain
from rotator.records.chain import Anchor, Head
from rotator.records.verify import Checks, Source, Verdict, verify
from tests.records.writing import check, write_chain

LINES = 6  # the start of the chain and five events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "audit.jsonl"
    write_chain(found, LINES - 1)
    return found


def anchor_of(path: Path) -> Anchor:
    head = check(path).head
    assert head is not None
    return head.anchor


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def test_an_untouched_chain_is_good(path: Path) -> None:
    """The suite below proves nothing if this fails."""
    result = check(path, checks=Checks(anchors=(anchor_of(path),), strict=True))
    assert (result.verdict, result.lines) == (Verdict.GOOD, LINES)


def test_every_changed_byte_is_seen(path: Path) -> None:
    """Each byte of a middle line, so each class of byte: structure, names, text, digits, hashes."""
    lines = path.read_bytes().splitlines(keepends=True)
    for place in range(len(lines[2])):
        changed = bytearray(lines[2])
        changed[place] ^= 0x01
        result = verify([Source("a", [*lines[:2], bytes(changed), *lines[3:]])])
        assert (result.verdict, result.line) == (Verdict.BROKEN, 3), place


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: lines[1:], 1),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: [*lines[:3], b"{}\n", *lines[3:]], 4),
        (lambda lines: [*lines[:3], b"\n", *lines[3:]], 4),
        (lambda lines: [*lines[:2], lines[2].replace(b'"seq":3', b'"seq": 3'), *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[2].rstrip(b"\n"), *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[2][:-20], *lines[3:]], 3),
        (lambda lines: [], 0),
    ],
    ids=["first", "middle", "swap", "twice", "inserted", "blank", "spelling", "joined", "cut", "emptied"],
)
def test_missing_moved_and_foreign_lines_are_seen(
    path: Path, change: Callable[[list[bytes]], list[bytes]], line: int
) -> None:
    """The first bad place is named, so that an investigation knows where to begin."""
    edit(path, change)
    result = check(path)
    assert (result.verdict, result.line) == (Verdict.BROKEN, line)


@pytest.mark.parametrize("count", [1, 3])
def test_a_cut_off_end_is_seen_by_the_anchor_alone(path: Path, count: int) -> None:
    """What is left is a good chain: only knowledge from elsewhere shows the loss."""
    anchor = anchor_of(path)
    edit(path, lambda lines: lines[:-count])
    assert check(path).verdict is Verdict.GOOD
    result = check(path, checks=Checks(anchors=(anchor,)))
    assert (result.verdict, result.seq) == (Verdict.ANCHOR, LINES - count + 1)


def test_everything_cut_off_is_seen_by_the_anchor(path: Path) -> None:
    """An emptied file is no new chain."""
    anchor = anchor_of(path)
    path.write_bytes(b"")
    assert check(path, checks=Checks(anchors=(anchor,))).verdict is Verdict.ANCHOR


def rehash(lines: list[bytes], first: int) -> Iterator[bytes]:
    """Rewrites the text of line `first` and every hash behind it, as somebody who knows the format would."""
    before = json.loads(lines[first - 1])
    head = Head(before["chain"], before["seq"], before["hash"])
    for number, line in enumerate(lines[first:], first):
        record = json.loads(line)
        del record["hash"]
        if number == first:
            record["text"] = "it never happened"
        sealed, head = chain.seal(record, head)
        yield sealed


def test_a_rewritten_tail_is_seen_by_the_anchor_alone(path: Path) -> None:
    """The hashes of a rewritten chain fit; the anchored one is another."""
    anchor = anchor_of(path)
    edit(path, lambda lines: [*lines[:2], *rehash(lines, 2)])
    assert check(path).verdict is Verdict.GOOD
    result = check(path, checks=Checks(anchors=(anchor,)))
    assert (result.verdict, result.seq) == (Verdict.ANCHOR, LINES)


def test_a_forged_line_with_a_right_hash_of_its_own_breaks_the_next_one(path: Path) -> None:
    """Rewriting one line alone is seen at the line behind it."""
    edit(path, lambda lines: [*lines[:2], next(rehash(lines, 2)), *lines[3:]])
    result = check(path)
    assert (result.verdict, result.line) == (Verdict.BROKEN, 4)


def test_a_skipped_number_is_seen_though_the_hashes_fit(path: Path) -> None:
    """Somebody who removes a line and links its neighbours by hand leaves the gap in the numbers."""
    lines = path.read_bytes().splitlines(keepends=True)
    before, record = json.loads(lines[-2]), json.loads(lines[-1])
    del record["hash"]
    jumped, _ = chain.seal(record, Head(before["chain"], before["seq"] + 1, before["hash"]))
    result = verify([Source("a", [*lines[:-1], jumped])])
    assert (result.verdict, result.line) == (Verdict.BROKEN, LINES)


def test_a_second_spelling_is_refused_though_its_hash_fits(path: Path) -> None:
    """A name that stands twice means one thing to this program and another to the next."""
    lines = path.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[-1])
    old = b'"hash":"%s",' % record["hash"].encode()
    body = lines[-1].rstrip(b"\n").replace(old, b"").replace(b'"text":', b'"text":"first","text":')
    digest = hashlib.sha256(record["prev"].encode() + body).hexdigest()
    forged = body.replace(b'"instance"', b'"hash":"%s","instance"' % digest.encode()) + b"\n"
    result = verify([Source("a", [*lines[:-1], forged])])
    assert (result.verdict, result.line) == (Verdict.BROKEN, LINES)


def test_a_splice_of_two_chains_is_seen(path: Path, tmp_path: Path) -> None:
    """Another instance's lines have the right numbers and good hashes, and do not belong here."""
    other = tmp_path / "other.jsonl"
    write_chain(other, LINES - 1)
    lines = other.read_bytes().splitlines(keepends=True)
    edit(path, lambda own: [*own[:3], *lines[3:]])
    result = check(path)
    assert (result.verdict, result.line) == (Verdict.BROKEN, 4)
    assert "another chain" in result.text


def test_a_half_written_last_line_has_a_verdict_of_its_own(path: Path) -> None:
    """A writer that died is no tampering; the line number is named all the same."""
    path.write_bytes(path.read_bytes()[:-25])
    result = check(path)
    assert (result.verdict, result.line, result.seq) == (Verdict.TORN, LINES, LINES)


def test_an_anchor_outweighs_a_torn_line(path: Path) -> None:
    """Cutting into the last anchored line is truncation, not an accident to be repaired."""
    anchor = anchor_of(path)
    path.write_bytes(path.read_bytes()[:-25])
    assert check(path, checks=Checks(anchors=(anchor,))).verdict is Verdict.ANCHOR


def test_files_in_the_wrong_order_are_seen(path: Path, tmp_path: Path) -> None:
    """The order of files is part of the chain."""
    lines = path.read_bytes().splitlines(keepends=True)
    older, newer = tmp_path / "older", tmp_path / "newer"
    older.write_bytes(b"".join(lines[:3]))
    newer.write_bytes(b"".join(lines[3:]))
    assert check(older, newer).verdict is Verdict.GOOD
    assert check(newer, older).verdict is Verdict.BROKEN
    assert check(newer).verdict is Verdict.BROKEN
    assert check(newer, checks=Checks(partial=True)).verdict is Verdict.GOOD


def test_a_torn_line_between_two_files_is_damage(path: Path, tmp_path: Path) -> None:
    """Only the very last line of all files can be a writer's last breath."""
    lines = path.read_bytes().splitlines(keepends=True)
    older, newer = tmp_path / "older", tmp_path / "newer"
    older.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    newer.write_bytes(b"".join(lines[3:]))
    result = check(older, newer)
    assert (result.verdict, result.file, result.line) == (Verdict.BROKEN, "older", 4)


def test_a_line_without_end_does_not_fill_the_memory(path: Path) -> None:
    """Reading is in pieces: what exceeds the longest possible line is damage."""
    with path.open("ab") as stream:
        stream.write(b"x" * (3 * chain.LINE_LIMIT))
    assert check(path).verdict is Verdict.BROKEN


def many_lines(path: Path, count: int) -> Iterator[bytes]:
    """A good chain of `count` lines, made without the writer's cost: only number and hashes differ between lines."""
    first, second = path.read_bytes().splitlines(keepends=True)[:2]
    yield first
    record = json.loads(second)
    prev = record["prev"]
    line = second.rstrip(b"\n")
    for seq in range(2, count + 1):
        body = line.replace(b'"seq":2,', b'"seq":%d,' % seq).replace(record["prev"].encode(), prev.encode())
        body = body.replace(b'"hash":"%s",' % record["hash"].encode(), b"")
        digest = hashlib.sha256(prev.encode() + body).hexdigest()
        yield body.replace(b'"instance"', b'"hash":"%s","instance"' % digest.encode()) + b"\n"
        prev = digest


def test_a_hundred_thousand_lines_are_checked_in_bounded_memory(path: Path) -> None:
    """The log of years is checked on the machine that runs the service."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = verify([Source("many", many_lines(path, 100_000))], Checks(strict=True))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (result.verdict, result.lines) == (Verdict.GOOD, 100_000)
    assert grown < 8 * 1024, f"{grown} KiB for 60 MB of lines"
