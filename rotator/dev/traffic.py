"""The traffic of the sample fleet: requests that must pass and requests that must be refused, all the time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotator.dev.caller import Answer, Door, Identity, Outcome, agent_identity, call

MISTAKES_KEPT = 50


@dataclass(frozen=True, slots=True)
class Try:
    """One kind of request with the answer that is right for it. `identity` is resolved anew for every attempt."""

    name: str
    identity: Callable[[], Identity]
    method: str
    path: str
    expected: Answer


@dataclass(frozen=True, slots=True)
class Score:
    """requests: attempts made. wrongly_failed: should have passed. wrongly_passed: should have been refused."""

    requests: int
    wrongly_failed: int
    wrongly_passed: int
    refused: int
    mistakes: tuple[str, ...]


class Traffic:
    """A thread per caller, each going round its tries with a pause between."""

    def __init__(self, door: Door, callers: Sequence[Sequence[Try]], pause: float) -> None:
        self._door = door
        self._pause = pause
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._mistakes: list[str] = []
        self._threads = [
            threading.Thread(target=self._go_round, args=(tries, number), name=f"caller-{number}", daemon=True)
            for number, tries in enumerate(callers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends after the attempts under way."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(self._door.timeout * 3)

    def score(self) -> Score:
        with self._lock:
            counts, mistakes = Counter(self._counts), tuple(self._mistakes)
        return Score(
            counts["requests"], counts["wrongly_failed"], counts["wrongly_passed"], counts["refused"], mistakes
        )

    def _go_round(self, tries: Sequence[Try], number: int) -> None:
        turn = number  # callers start at different tries, so that the first second is no burst of one kind
        while not self._stopping.wait(self._pause):
            one = tries[turn % len(tries)]
            turn += 1
            try:
                outcome = call(self._door, one.identity(), one.method, one.path)
            except OSError as problem:
                outcome = Outcome(Answer.BROKEN, 0, f"no material: {type(problem).__name__}")
            self._count(one, outcome)

    def _count(self, one: Try, outcome: Outcome) -> None:
        with self._lock:
            self._counts["requests"] += 1
            if outcome.answer in (Answer.DENIED, Answer.REFUSED):
                self._counts["refused"] += 1
            if outcome.answer is one.expected:
                return
            # Refused in another way than expected is still refused: that is not a hole, but it is not right either.
            passed = outcome.answer is Answer.PASSED
            self._counts["wrongly_passed" if passed else "wrongly_failed"] += 1
            if len(self._mistakes) < MISTAKES_KEPT:
                self._mistakes.append(f"{one.name}: expected {one.expected}, got {outcome.answer} ({outcome.detail})")


def of_agent(directory: Path) -> Callable[[], Identity]:
    """The identity that the agent's follower has delivered by now."""
    return lambda: agent_identity(directory)
