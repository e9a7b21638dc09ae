"""The loop beside proxies and agents: our own blocking query per subject, each in its own thread and identity.

`consul watch` can start the same passes through `rotator watch-handler`; it repeats calls, skips steps and never
retries a failed one (hashicorp/consul#4609, #13428), which is why this loop exists and why both may run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from rotator.core.errors import Code, Fault
from rotator.follower.converge import Convergence, Outcome
from rotator.ports import Clock, Keys

LONGEST_WAIT = timedelta(seconds=60)
_PACE = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
# Consul's own advice for blocking queries is a token bucket instead of a fixed sleep (blocking-query page).
_RATE = 2.0
_BURST = 2.0

OnOutcome = Callable[[str, Outcome], None]


class TokenBucket:
    """At most `rate` passes a second with a burst of `burst`: a key that changes without rest costs little."""

    def __init__(self, clock: Clock, rate: float = _RATE, burst: float = _BURST) -> None:
        self._clock, self._rate, self._burst = clock, rate, burst
        self._tokens, self._at = burst, clock.monotonic()

    def delay(self) -> float:
        """Takes a token and returns how many seconds to wait for it."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self._rate)


@dataclass(frozen=True, slots=True)
class Followed:
    """One subject with its own connection to Consul."""

    convergence: Convergence
    keys: Keys


class Watch:
    """Runs every subject until `stop` is set. `tell` hears each outcome that is new."""

    def __init__(self, followed: tuple[Followed, ...], clock: Clock, stop: threading.Event, tell: OnOutcome) -> None:
        self._followed = followed
        self._clock = clock
        self._stop = stop
        self._tell = tell
        self._busy = {id(one): threading.Lock() for one in followed}

    def run(self) -> None:
        """Blocks until stopped, then lets passes under way finish. A thread in a blocking query just ends with us."""
        threads = [
            threading.Thread(target=self._follow, args=(one,), name=str(one.convergence.subject.owner), daemon=True)
            for one in self._followed
        ]
        for thread in threads:
            thread.start()
        self._stop.wait()
        for lock in self._busy.values():
            lock.acquire(timeout=LONGEST_WAIT.total_seconds())

    def once(self) -> tuple[Outcome, ...]:
        """One pass of every subject, for timers and for starting a proxy only after its first version is there."""
        return tuple(self._pass(one) for one in self._followed)

    def _follow(self, one: Followed) -> None:
        bucket, index, errors = TokenBucket(self._clock), 0, 0
        while not self._stop.wait(bucket.delay()):
            outcome = self._pass(one)
            wait = max(timedelta(0), min(LONGEST_WAIT, outcome.next_at - self._clock.now()))
            try:
                _, index = one.keys.wait_for(one.convergence.subject.key, index, wait)
                errors = 0
            except Fault:
                index, errors = 0, errors + 1
                self._stop.wait(_PACE[min(errors, len(_PACE)) - 1])

    def _pass(self, one: Followed) -> Outcome:
        with self._busy[id(one)]:
            try:
                outcome = one.convergence.run()
            except Fault as fault:
                outcome = Outcome(False, False, self._clock.now() + timedelta(seconds=5), fault)
            except Exception as problem:  # noqa: BLE001 - outermost border of one subject: the others go on
                bug = Fault(Code.BUG, f"an unforeseen {type(problem).__name__}")
                outcome = Outcome(False, False, self._clock.now() + LONGEST_WAIT, bug)
        self._tell(str(one.convergence.subject.owner), outcome)
        return outcome
