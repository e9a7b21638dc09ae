"""Ten thousand agents in generated files: loaded, checked and frozen in about the time that parsing them takes."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .conftest import GOOD, accepted, problems

Write = Callable[..., Path]
Result = TypeVar("Result")
AGENTS, FILES = 10_000, 10
# Measured: 3 to 4 times. The bound is wide because the machine is shared; quadratic work would miss it by far.
TIMES = 10


def _agent(number: int) -> str:
    return f"""\
[agents.agent-{number}]
owner = "team-{number % 50}"
labels = {{ stage = "prod" }}
scopes = [
  {{ proxy = "edge", path = "/orders/a{number}", methods = ["GET"], rate = "100/1m" }},
  {{ proxy = "edge", path = "/orders/b{number}", methods = ["POST"], permission = "write" }},
]
credentials.tls = {{ ttl = "24h", policy = "nightly" }}
"""


def _fleet(write: Write) -> tuple[Path, list[str]]:
    main = write(GOOD + '\n[inventory]\nfolder = "inventory.d"\n')
    numbers = [range(first, AGENTS, FILES) for first in range(FILES)]
    texts = ["".join(_agent(number) for number in some) for some in numbers]
    for number, text in enumerate(texts):
        write(text, f"inventory.d/{number}.toml")
    return main, texts


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Processor time: other people's load does not count."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def test_ten_thousand_agents_load_in_a_few_parses(write: Write) -> None:
    """A reload happens while the service runs; it may not cost minutes."""
    main, texts = _fleet(write)
    parsing, _ = _timed(lambda: [tomllib.loads(text) for text in texts])
    loading, loaded = _timed(lambda: accepted(main))
    assert loading < parsing * TIMES
    assert len(loaded.settings.fleet.agents) == AGENTS + 1


def test_ten_thousand_mistakes_are_told_in_a_few_parses(write: Write) -> None:
    """The same mistake in every generated entry must not make the answer slow or endless."""
    main, texts = _fleet(write)
    for number, text in enumerate(texts):
        write(text.replace("24h", "24"), f"inventory.d/{number}.toml")
    parsing, _ = _timed(lambda: [tomllib.loads(text) for text in texts])
    loading, found = _timed(lambda: problems(main))
    assert loading < parsing * TIMES
    assert len(found) == AGENTS
