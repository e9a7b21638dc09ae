"""The raw ceiling: the two Vault calls of a rotation with nothing attached, by a native load generator."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks import wrk
from benchmarks.figures import Sample
from benchmarks.processes import Meter, run
from benchmarks.site import ROLE, TRUST_DOMAIN, TTL_SECONDS, Site
from rotator.clients.clock import SystemClock
from rotator.clients.files import write_atomic
from rotator.clients.vault import VaultSecrets
from rotator.config.load import load_settings
from rotator.core.errors import Code, Unavailable
from rotator.dev.servers.cache import Missing

PATHS = 256  # of each thread: far more than connections, so that no write meets an unfinished one of its own path
_RUNS = count(1)


@dataclass(frozen=True, slots=True)
class Bodies:
    """What the service sends, with marks where a request differs from the one before."""

    issue: str
    kv: str


class Ceiling:
    """Runs the generator. `generator`: its name, for the report."""

    def __init__(self, site: Site, tell: Callable[[str], None]) -> None:
        self._site = site
        self._bodies = _bodies(site)
        self._argv, self._environment, self.generator = _generator(tell)
        self._rates: dict[int, list[float]] = {}

    @property
    def sweep(self) -> dict[int, float]:
        """Median rate by number of connections."""
        return {number: statistics.median(rates) for number, rates in self._rates.items()}

    def best(self, concurrencies: Sequence[int], seconds: int) -> Sample:
        """The fastest of the given numbers of connections, this time: a ceiling is the best that anybody can get."""
        samples = {number: self.round(number, seconds) for number in concurrencies}
        for number, sample in samples.items():
            self._rates.setdefault(number, []).append(sample.rate)
        return max(samples.values(), key=lambda sample: sample.rate)

    def round(self, connections: int, seconds: int) -> Sample:
        """Loads OpenBao with so many connections. One certificate is one `issue` and one KV write."""
        meter = Meter(self._site.servers)
        settings = self._settings()
        log = self._site.directory / "ceiling.log"
        argv = [*self._argv, str(connections), str(seconds), self._site.openbao.address]
        environment = {**os.environ, **self._environment, "ROTATOR_BENCH_SETTINGS": str(settings)}
        ended = run(_spelled(argv), log, environment, seconds + 60)
        last = ended.output.strip().rpartition("\n")[2]
        if ended.code != 0 or not last.startswith("{"):
            words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise Unavailable(Code.SERVER_MISSING, f"{self.generator} ended with {ended.code}", hint=words[0])
        said = json.loads(last)
        if said["failed"]:
            text = f"{said['failed']} of {said['requests']} raw requests failed"
            raise Unavailable(Code.VAULT_REPLY_MALFORMED, text, hint="the ceiling would be wrong; see OpenBao's log")
        cpu = {"generator": ended.cpu, **meter.read()}
        return Sample(said["requests"] // 2, said["microseconds"] / 1e6, cpu)

    def _settings(self) -> Path:
        path = self._site.directory / "ceiling-settings.lua"
        values = {
            "token": self._site.token.reveal(),
            "issue_path": f"/v1/{ROLE}",
            "kv_path": "/v1/kv/data/agents",
            "run": f"{os.getpid()}-{next(_RUNS)}",
            "issue_body": self._bodies.issue,
            "kv_body": self._bodies.kv,
        }
        # A JSON string of ASCII is a Lua string too, but for "\/" and "\u", which json.dumps does not write here.
        fields = ",\n".join(f"  {name} = {json.dumps(text)}" for name, text in values.items())
        write_atomic(path, f"return {{\n{fields},\n  paths = {PATHS},\n}}\n")
        write_atomic(path.with_suffix(".json"), json.dumps({**values, "paths": PATHS}))
        return path


def _spelled(argv: Sequence[str]) -> list[str]:
    """wrk wants flags; the generator of our own takes connections, seconds and address as they are."""
    program, *rest, connections, seconds, address = argv
    if rest[:1] == ["-m"]:
        return list(argv)
    script = Path(__file__).with_name("ceiling.lua")
    flags = ["--threads", str(min(2, int(connections))), "--connections", connections, "--duration", f"{seconds}s"]
    return [program, *flags, "--script", str(script), address]


def _generator(tell: Callable[[str], None]) -> tuple[list[str], dict[str, str], str]:
    try:
        found = wrk.find()
    except Missing as missing:
        reasons = "; ".join(missing.reasons)
        tell(f"no wrk here ({reasons}): the ceiling is measured by a slower generator in Python and is too low")
        return [sys.executable, "-m", "benchmarks.generator"], {}, "python (too low: install wrk)"
    return [str(found.path)], dict(found.environment), "wrk"


def _bodies(site: Site) -> Bodies:
    """From what the service itself has stored, so that the sizes are the same."""
    issue = {
        "uri_sans": f"spiffe://{TRUST_DOMAIN}/agent/@NAME@",
        "alt_names": "",
        "ip_sans": "",
        "exclude_cn_from_sans": True,
        "ttl": f"{TTL_SECONDS}s",
        "common_name": "@NAME@",
    }
    vault = VaultSecrets(load_settings(site.config, {}).vault, SystemClock())
    try:
        stored = vault.kv_read("kv", f"agents/{site.names[0]}/tls")
    finally:
        vault.close()
    if stored is None:
        raise AssertionError("the service has enrolled every agent before the ceiling is measured")
    fields = {name: secret.reveal() for name, secret in stored.fields.items()}
    kv = json.dumps({"options": {"cas": "@CAS@"}, "data": fields}, separators=(",", ":")).replace('"@CAS@"', "@CAS@")
    return Bodies(json.dumps(issue, separators=(",", ":")), kv)
