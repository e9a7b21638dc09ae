"""The PostgreSQL of tests and demo: as strict as one in service, and gone when it ends."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from rotator.core.secret import Secret
from rotator.dev.servers.postgres import Postgres
from tests.conftest import or_missing

pytestmark = pytest.mark.servers


def test_it_lets_in_by_password_over_tls_alone(postgres: Postgres, unique: str) -> None:
    """A server that is laxer than a real one would let a broken rotation pass."""
    postgres.execute(f"CREATE ROLE \"{unique}\" LOGIN PASSWORD 'right'")
    with postgres.connect(unique, Secret("right")) as session:
        assert session.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        postgres.connect(unique, Secret("wrong"))
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(host=postgres.host, port=postgres.port, user=unique, password="right", sslmode="disable")


def test_nothing_is_left_when_it_stops(tmp_path: Path) -> None:
    """Its data lies outside of the test's folder, where nobody would clean up."""
    server = or_missing(lambda: Postgres.start(tmp_path))
    home = Path(str(server.connect().execute("SHOW data_directory").fetchone()[0])).parent  # type: ignore[index]
    assert home.is_dir()
    server.stop()
    assert not home.exists()
    assert not Path(f"/proc/{server.pid}").exists()
    server.stop()
