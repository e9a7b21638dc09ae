"""How audit lines hang together. Pure: sealing a line, reading one, and the heads between them.

`hash` = SHA-256, lower-case hex, over `prev` (its 64 ASCII characters) followed by the RFC 8785 form of the record
without `hash`. One line is the RFC 8785 form of the whole record and a newline, so a line has exactly one spelling and
any changed byte shows. The first line of a chain has seq 1 and a `prev` of 64 zeros. Checked by hand with
`printf '%s%s' "$prev" "$json_without_hash" | sha256sum`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import rfc8785

FORMAT = 1
ZERO = "0" * 64
# Far above what `entry` can produce; a longer line is damage, and reading stops there instead of filling the memory.
LINE_LIMIT = 1024 * 1024

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a chain, or the place before its first one (seq 0)."""

    chain: str
    seq: int
    hash: str

    @property
    def anchor(self) -> Anchor:
        return Anchor(self.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is known from elsewhere about a chain: its line `seq` has this hash."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Reads `<seq>:<64 hex digits>`; ValueError for anything else."""
        seq, _, digest = text.partition(":")
        if not (seq.isascii() and seq.isdecimal()) or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError("an anchor is <seq>:<64 hex digits>")
        return cls(int(seq), digest)

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def seal(record: Json, head: Head) -> tuple[bytes, Head]:
    """The line of a record that follows `head`, with its newline, and the head after it.

    `record` has every field but format, chain, seq, prev and hash. Raises ValueError for what has no canonical form.
    """
    numbered = {**record, "format": FORMAT, "chain": head.chain, "seq": head.seq + 1, "prev": head.hash}
    # In two halves around the place of `hash`, so that the record is put into its form only once.
    before = canonical({name: value for name, value in numbered.items() if name < "hash"})[:-1]
    after = canonical({name: value for name, value in numbered.items() if name > "hash"})[1:]
    digest = _digest(head.hash, before + b"," + after)
    line = before + b',"hash":"%s",' % digest.encode() + after + b"\n"
    return line, Head(head.chain, head.seq + 1, digest)


def canonical(value: Json) -> bytes:
    """The RFC 8785 form. ValueError for what has none.

    Python's own encoder, written in C, gives the same bytes in a third of the time of rfc8785, but for floats, integers
    beyond 2^53, and names outside ASCII (sorted by code point instead of UTF-16): a value with one of these goes to
    rfc8785. A test holds both equal.
    """
    return _ENCODER.encode(value).encode() if _is_plain(value) else rfc8785.dumps(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_WHOLE_LIMIT = 2**53


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_WHOLE_LIMIT < value < _WHOLE_LIMIT)
    if kind is dict:
        return all(type(name) is str and name.isascii() and _is_plain(one) for name, one in value.items())
    return kind is list and all(map(_is_plain, value))


def read(line: bytes) -> Json | None:
    """The record of one line (without its newline), if the line is spelled canonically and its own hash is right.

    Says nothing about its place in the chain: compare `prev` and `seq` with the head before it.
    """
    record = parse(line)
    try:
        if record is None or canonical(record) != line:
            return None
    except (ValueError, RecursionError):
        return None
    # `line` is canonical, so this takes out the field and nothing else: no text can hold an unescaped quote, and a
    # field of the same name and value below `evidence` would need a hash that contains itself.
    body = line.replace(b'"hash":"%s",' % record["hash"].encode(), b"", 1)
    return record if _digest(record["prev"], body) == record["hash"] else None


def parse(line: bytes) -> Json | None:
    """The record of one line without looking at its hash; None when it has not the shape of one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if _shaped(record) else None


def head_of(record: Json) -> Head:
    """The head that a line read with `read` makes."""
    return Head(record["chain"], record["seq"], record["hash"])


_WHOLE = ("seq", "epoch")
_TEXTS = ("chain", "prev", "hash", "event", "target", "rotation_id", "reason")


def _shaped(record: Any) -> bool:
    """Whether everything that this room reads out of a record has its type."""
    return (
        isinstance(record, dict)
        and record.get("format") == FORMAT
        and all(type(record.get(name)) is int for name in _WHOLE)
        and all(isinstance(record.get(name), str) for name in _TEXTS)
        and isinstance(record.get("after"), dict)
        and type(record.get("version")) in (int, type(None))
    )


def _digest(prev: str, body: bytes) -> str:
    return hashlib.sha256(prev.encode("utf-8", "replace") + body).hexdigest()
