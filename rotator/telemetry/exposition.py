"""The whole answer to a scrape: what prometheus_client writes, followed by the lines per credential."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from rotator.telemetry.board import Board
from rotator.telemetry.expiry import ExpiryLines
from rotator.telemetry.state import StateCollector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Exposition:
    """Text of `/metrics`. Not thread-safe: it belongs to the thread of the web server.

    Needs neither Vault nor Consul (requirement OBS-4): everything comes from memory.
    """

    def __init__(self, board: Board, registry: CollectorRegistry) -> None:
        self._board = board
        self._registry = registry
        self._lines = ExpiryLines()
        registry.register(StateCollector(board))

    def render(self) -> bytes:
        """Prometheus text format 0.0.4, not compressed."""
        return b"".join((generate_latest(self._registry), *self._lines.parts(self._board.snapshot())))
