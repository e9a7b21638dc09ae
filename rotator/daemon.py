"""Life of the process: start, tick, reload, orderly stop. What is done in a tick is none of its business.

APScheduler is a clock only: one reconcile tick and a few recurring jobs, with `misfire_grace_time=None` and
`coalesce=True`, because its default drops a job that is more than a second late (agronholm/apscheduler#292). The
watchdog is fed by the tick alone: a process whose scheduler hangs must be restarted, however healthy its threads look.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from types import FrameType
from typing import Any, Protocol

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from rotator.ports import Clock


class Works(Protocol):
    """What the daemon drives. `app.py` fills it."""

    def start(self) -> None:
        """Opens what must be open before the first tick. Raises Fault."""

    def tick(self) -> bool:
        """One reconcile cycle. True when more is due at once."""

    def reload(self) -> None:
        """Loads the configuration again; a bad one keeps the old one running and says so."""

    def missed(self, job: str) -> None:
        """A job did not run when it should have."""

    def stop(self) -> None:
        """Ends everything in order: the lock before the session, the audit last."""


@dataclass(frozen=True, slots=True)
class Job:
    """A recurring job beside the tick."""

    name: str
    every: timedelta
    act: Callable[[], None]


class Daemon:
    """Runs until SIGTERM or SIGINT; SIGHUP reloads."""

    def __init__(self, works: Works, clock: Clock, tick: timedelta, jobs: tuple[Job, ...]) -> None:
        self._works = works
        self._clock = clock
        self._tick = tick
        self._jobs = jobs
        self._stopping = threading.Event()
        self._reload = threading.Event()
        self._scheduler = _scheduler()

    def run(self) -> None:
        """Blocks until stopped. Raises Fault when the start fails; after that, faults belong to the ticks."""
        self._listen()
        self._works.start()
        try:
            self._schedule()
            self._scheduler.start()
            self._wait()
        finally:
            # The scheduler goes first: a job that starts after the pool is gone raises in a dying interpreter
            # (agronholm/apscheduler#985).
            if self._scheduler.running:
                self._scheduler.shutdown(wait=True)
            self._works.stop()

    def stop(self, signum: int = 0, frame: FrameType | None = None) -> None:
        self._stopping.set()
        self._reload.set()

    def _wait(self) -> None:
        while not self._stopping.is_set():
            self._reload.wait()
            self._reload.clear()
            if not self._stopping.is_set():
                self._works.reload()

    def _listen(self) -> None:
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        signal.signal(signal.SIGHUP, lambda signum, frame: self._reload.set())

    def _schedule(self) -> None:
        self._scheduler.add_listener(self._note, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)
        self._add("tick", self._tick, self._run_tick)
        for job in self._jobs:
            self._add(job.name, job.every, job.act)

    def _add(self, name: str, every: timedelta, act: Callable[[], Any]) -> None:
        trigger = IntervalTrigger(seconds=every.total_seconds(), timezone=UTC)
        self._scheduler.add_job(act, trigger, id=name, max_instances=1, next_run_time=self._clock.now())

    def _run_tick(self) -> None:
        while self._works.tick() and not self._stopping.is_set():
            pass

    def _note(self, event: JobEvent) -> None:
        """Trivial on purpose: a slow listener distorts the next wake-up (agronholm/apscheduler#754)."""
        self._works.missed(str(event.job_id))


def _scheduler() -> BackgroundScheduler:
    return BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(8)},
        job_defaults={"misfire_grace_time": None, "coalesce": True},
        daemon=True,
    )
