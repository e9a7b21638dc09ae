"""Stands in for wrk where it cannot be had: the same two calls from a few Python processes. Slower than wrk, so that
the ceiling it finds is too low. Arguments: connections, seconds, address."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Settings = dict[str, Any]
Counts = tuple[int, int]


def main() -> None:
    connections, seconds, address = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    path = Path(os.environ["ROTATOR_BENCH_SETTINGS"]).with_suffix(".json")
    settings = {**json.loads(path.read_text()), "seconds": seconds, "address": address}
    began = time.monotonic()
    with multiprocessing.Pool(connections) as pool:
        counts = pool.starmap(load, [(settings, number) for number in range(connections)])
    requests, failed = (sum(one[index] for one in counts) for index in (0, 1))
    microseconds = int((time.monotonic() - began) * 1e6)
    sys.stdout.write(json.dumps({"requests": requests, "microseconds": microseconds, "failed": failed}) + "\n")


def load(settings: Settings, number: int) -> Counts:
    """(requests, failures) of one connection; each has paths of its own."""
    where = urlsplit(settings["address"])
    # As wrk does it: the load is measured, not the server's identity; nothing but throw-away data is sent.
    context = ssl._create_unverified_context()  # noqa: S323
    connection = http.client.HTTPSConnection(where.hostname or "", where.port, context=context)
    headers = {"X-Vault-Token": settings["token"], "X-Vault-Request": "true", "Content-Type": "application/json"}
    until, turn, failed = time.monotonic() + settings["seconds"], 0, 0
    while time.monotonic() < until:
        connection.request("POST", *_request(settings, number, turn), headers)
        reply = connection.getresponse()
        reply.read()
        failed += reply.status >= 400
        turn += 1
    return turn, failed


def _request(settings: Settings, number: int, turn: int) -> tuple[str, str]:
    index = turn // 2
    path, done = index % settings["paths"], index // settings["paths"]
    if turn % 2 == 0:
        return settings["issue_path"], settings["issue_body"].replace("@NAME@", f"agent-{path:05d}")
    where = f"{settings['kv_path']}/raw-{settings['run']}-{number}-{path:05d}/tls"
    return where, settings["kv_body"].replace("@CAS@", str(done), 1)


if __name__ == "__main__":
    main()
