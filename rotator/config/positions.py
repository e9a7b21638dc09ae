"""Which line of a file says what: enough to point at a mistake, not a parser.

`tomllib` and `json` give values without lines. The index is made only when there is a mistake to point at, and only
of text that those two have accepted. It knows table headers, keys, inline tables and the elements of arrays.
"""

from __future__ import annotations

import json as json_module
import re

_TOKEN = re.compile(
    r"""(?P<long>\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}.*?'{3})"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
    r"""|(?P<comment>\#[^\n]*)|(?P<end>\n)|(?P<mark>[\[\]{},=:])|(?P<bare>[^\s\[\]{},=:"'#]+)""",
    re.DOTALL,
)
_SCALAR_ENDS = frozenset({",", "]", "}", "\n"})

Path = tuple[str, ...]


def index(text: str, *, json: bool = False) -> dict[Path, int]:
    """Path -> line number, counted from 1; array elements count as "0", "1", …; the first mention of a path wins."""
    scanner = _Scanner(text, ":" if json else "=")
    try:
        if json:
            scanner.value(())
        else:
            scanner.document()
    except (IndexError, RecursionError):
        pass  # whatever was found so far still helps
    return scanner.lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of the path, or of its nearest parent; 0 when nothing of it is known."""
    for length in range(len(path), 0, -1):
        found = lines.get(path[:length])
        if found is not None:
            return found
    return 0


class _Scanner:
    """Walks the tokens once. IndexError at the end of a text that breaks off."""

    def __init__(self, text: str, separator: str) -> None:
        self.lines: dict[Path, int] = {}
        self._separator = separator
        self._tokens = list(_tokens(text))
        self._at = 0
        self._elements: dict[Path, int] = {}

    def document(self) -> None:
        """TOML: headers and assignments."""
        table: Path = ()
        while self._at < len(self._tokens):
            if self._peek() == "\n":
                self._at += 1
            elif self._peek() == "[":
                table = self._header()
            else:
                self._assignment(table)

    def value(self, path: Path) -> None:
        """One value, whatever it is; an array or a table is walked into."""
        self._skip("\n")
        self._note(path)
        if self._peek() == "[":
            self._array(path)
        elif self._peek() == "{":
            self._table(path)
        else:
            self._at += 1
            while self._at < len(self._tokens) and self._peek() not in _SCALAR_ENDS:
                self._at += 1

    def _array(self, path: Path) -> None:
        self._at += 1
        number = 0
        while self._skip("\n", ",") != "]":
            self.value((*path, str(number)))
            number += 1
        self._at += 1

    def _table(self, path: Path) -> None:
        self._at += 1
        while self._skip("\n", ",") != "}":
            self._assignment(path)
        self._at += 1

    def _assignment(self, table: Path) -> None:
        line = self._tokens[self._at][1]
        path = table + self._key(self._separator)
        for length in range(len(table) + 1, len(path)):
            self.lines.setdefault(path[:length], line)
        self.lines.setdefault(path, line)
        self.value(path)

    def _header(self) -> Path:
        line = self._tokens[self._at][1]
        self._at += 1
        repeated = self._peek() == "["
        self._at += repeated
        parts = self._key("]")
        self._at += repeated
        path: Path = ()
        for number, part in enumerate(parts, 1):
            path = (*path, part)
            self.lines.setdefault(path, line)
            if repeated and number == len(parts):
                self._elements[path] = self._elements.get(path, -1) + 1
            if path in self._elements:
                path = (*path, str(self._elements[path]))
                self.lines.setdefault(path, line)
        return path

    def _key(self, end: str) -> Path:
        """The dotted key before `end`, which is passed over too."""
        parts: list[str] = []
        while (token := self._peek()) != end:
            parts += _words(token)
            self._at += 1
        self._at += 1
        return tuple(parts)

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _skip(self, *tokens: str) -> str:
        while self._peek() in tokens:
            self._at += 1
        return self._peek()

    def _note(self, path: Path) -> None:
        self.lines.setdefault(path, self._tokens[self._at][1])


def _words(token: str) -> list[str]:
    """The parts of a key that one token holds: a quoted one is a single part, with its escapes undone."""
    if token[0] == "'":
        return [token[1:-1]]
    if token[0] != '"':
        return [part for part in token.split(".") if part]
    try:
        return [str(json_module.loads(token, strict=False))]
    except ValueError:
        return [token[1:-1]]  # an escape that only TOML knows


def _tokens(text: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    line = 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match.lastgroup != "comment":
            found.append((token, line))
        line += token.count("\n")
    return found
