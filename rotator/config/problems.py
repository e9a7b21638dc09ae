"""What is wrong with a configuration: all of it at once, each with file, line where possible, and path."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core.errors import Code, Denied


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


class ConfigErrors(Denied):
    """The configuration is refused. Nothing of it is in force; a running service keeps the old one."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        listed = "\n".join(f"  {problem}" for problem in self.problems)
        text = f"the configuration has {count} problem{'s' if count != 1 else ''}:\n{listed}"
        super().__init__(Code.CONFIG_INVALID, text, hint="correct them and run rotator validate")
