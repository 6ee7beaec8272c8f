"""The server that people try: it keeps what it had, shows no password, and says why it does not start."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from overread.core.errors import Misconfigured, StoreUnavailable
from overread.simulation import postgres
from overread.simulation.broker import free_ports
from overread.simulation.postgres import Server

pytestmark = pytest.mark.network


@pytest.fixture
def folder(postgresql: Server) -> Iterator[Path]:
    """A place that the server's user can reach. It hangs on the session's server for the sake of its skip."""
    assert postgresql.running
    with tempfile.TemporaryDirectory(prefix="overread-postgresql-") as place:
        Path(place).chmod(0o755)
        yield Path(place) / "tried"
        Path(place).chmod(0o755)


def test_make_postgres_answers_ends_and_has_the_same_data_again(folder: Path) -> None:
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "overread.simulation.postgres", "--data", str(folder), "--port", str(port)]
    statements = ["CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)"]
    for statement in statements:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[0]
            assert url.startswith(f"postgresql://overread@127.0.0.1:{port}/overread?passfile=")
            with psycopg.connect(url) as connection:
                connection.execute(statement.encode())
            process.send_signal(signal.SIGTERM)
            assert process.stdout.read() == "stopped\n"
        assert process.returncode == 0
    secret = (folder / "passfile").read_text().strip().rpartition(":")[2]
    assert secret not in line
    assert stat.S_IMODE((folder / "passfile").stat().st_mode) == 0o600
    assert not (folder / "password").exists()


def test_a_port_that_is_taken_is_said(folder: Path, postgresql: Server) -> None:
    with pytest.raises(StoreUnavailable, match="Address already in use"):
        Server(folder, postgresql.port).start()


def test_a_folder_that_cannot_be_reached_is_said(folder: Path) -> None:
    folder.parent.chmod(0)
    with pytest.raises(Misconfigured, match=r"can't be used.*Permission denied"):
        Server(folder, 1).start()


def test_without_postgresql_it_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(postgres, "DEBIAN", Path("/nowhere"))
    with pytest.raises(Misconfigured, match="`make parts`"):
        postgres.programs()
