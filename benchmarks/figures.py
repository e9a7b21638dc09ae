"""Samples, medians and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one contender. cpu: process name -> CPU seconds. done is False where its time ran out."""

    certificates: int
    seconds: float
    cpu: Mapping[str, float] = field(default_factory=dict)
    done: bool = True

    @property
    def rate(self) -> float:
        """Certificates a second."""
        return self.certificates / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """All rounds of one contender."""

    name: str
    samples: Sequence[Sample]

    @property
    def rate(self) -> float:
        return statistics.median(sample.rate for sample in self.samples)

    @property
    def spread(self) -> float:
        """Highest less lowest rate, as a share of the median."""
        rates = [sample.rate for sample in self.samples]
        return (max(rates) - min(rates)) / self.rate if self.rate else 0.0

    def cpu_ms(self, process: str) -> float | None:
        """Median CPU milliseconds of a process for each certificate; None where it took no part."""
        found = [1000 * one.cpu[process] / one.certificates for one in self.samples if process in one.cpu]
        return statistics.median(found) if found else None

    @property
    def total_cpu_ms(self) -> float:
        """Median CPU milliseconds of all processes together for each certificate."""
        return statistics.median(1000 * sum(one.cpu.values()) / one.certificates for one in self.samples)

    @property
    def processes(self) -> list[str]:
        return list(dict.fromkeys(name for sample in self.samples for name in sample.cpu))

    @property
    def complete(self) -> bool:
        return all(sample.done for sample in self.samples)
