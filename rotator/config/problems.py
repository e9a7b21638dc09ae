"""What is wrong with a configuration: all of it at once, each with file, line where possible, and path."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rotator.core.errors import Code, Denied

SHOWN = 50
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """`path`: dotted, as in `agents.billing.credentials.tls.ttl`. line: 0 when it is not known."""

    file: str
    line: int
    path: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.text}" if self.path else f"{place}: {self.text}"


# path, text, hint -> the problem with its file and line
Place = Callable[[tuple[str, ...], str, str], Problem]


def dotted(path: Sequence[str]) -> str:
    """A path as TOML would write it; a part that is not bare is quoted, so that no key can forge a line of output."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part) for part in path)


class ConfigErrors(Denied):
    """The configuration is refused. Nothing of it is in force; a running service keeps the old one."""

    def __init__(self, problems: Sequence[Problem], code: Code = Code.CONFIG_INVALID) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        if count == 1:
            super().__init__(code, str(self.problems[0]), hint=self.problems[0].hint)
            return
        lines = [f"  {problem}" for problem in self.problems[:SHOWN]]
        if count > SHOWN:
            lines.append(f"  and {count - SHOWN} more")
        text = f"the configuration has {count} problems:\n" + "\n".join(lines)
        super().__init__(code, text, hint="rotator validate says for each what to do")
