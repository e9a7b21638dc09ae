"""One sample world per file, with the options that the file names in `OPTIONS`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rotator.dev.world import World
from tests.assets.servers import or_missing


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which every agent's first request has passed."""
    made = World(tmp_path_factory.mktemp("world"), lambda words: None, request.module.OPTIONS)
    or_missing(made.__enter__)
    try:
        yield made
    finally:
        made.__exit__(None, None, None)
