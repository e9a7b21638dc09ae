"""Failpoints of a kind under test: a death in this process, at a place of the test's choice."""

from __future__ import annotations


class Points:
    """Remembers which failpoints were passed, and dies at `deadly`."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.deadly = ""

    def reach(self, point: str, target: str) -> None:
        self.passed.append(point)
        if point == self.deadly:
            self.deadly = ""
            raise KeyboardInterrupt(target)
