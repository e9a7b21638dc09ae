"""One answer of the doctor, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a word of the report
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is empty when nothing is to be done."""

    verdict: Verdict
    what: str
    text: str
    fix: str = ""


def finding(good: bool, what: str, text: str, fix: str, otherwise: Verdict = Verdict.FAIL) -> Finding:
    """A pass without a fix, or `otherwise` with it."""
    return Finding(Verdict.PASS, what, text) if good else Finding(otherwise, what, text, fix)
