# ruff: noqa: T201 - it talks to whoever started it
"""A real PostgreSQL server on this machine: made, started, ill-treated.

`make postgres` starts one in the foreground, for people who want to try. Tests and fault drills hold a `Server`. The
programs are those of Debian's package, or those on the PATH. PostgreSQL refuses to run as root; where we are root it
runs as the user `postgres` that the package makes.
"""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import psycopg
from sqlalchemy import URL

from overread.core.errors import Misconfigured, OverreadError, StoreUnavailable
from overread.simulation.stopping import stop_when_asked

PATIENCE = 60.0
"""Longest wait for the server to answer, or to end (s). It takes less than one."""
DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs, by version; they are not on the PATH."""
NAME = "overread"
"""Of the role that owns everything, and of the first database."""


def programs() -> Path:
    """Return the folder of `initdb` and `postgres`: the newest of Debian's, else what is on the PATH.

    Raises:
        Misconfigured: PostgreSQL is not installed.
    """
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    other = shutil.which("initdb")
    if not found and other is None:
        raise Misconfigured("postgresql is not installed (initdb not found); `make parts` installs it")
    return (found[-1] if found else Path(str(other))).parent


class Server:
    """One server, as a context manager or by `start` and `stop`. The same folder again holds the same databases.

    Its role `overread` has a password that is minted with the folder. `url` says where it stands, and shows it not.

    Args:
        folder: where all data lies; made where it is not there. Whoever runs the server must be able to reach it.
        port: of 127.0.0.1.
        settings: of postgresql.conf.
    """

    def __init__(self, folder: Path, port: int, settings: Mapping[str, str] | None = None) -> None:
        self.folder, self.port = folder.resolve(), port
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = NAME) -> str:
        """Return the value of the setting `store_url`."""
        query = {"passfile": str(self.folder / "passfile")}
        return URL.create("postgresql", NAME, None, "127.0.0.1", self.port, database, query).render_as_string()

    @property
    def running(self) -> bool:
        """Whether its first process lives; one that is frozen does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Make the folder if it is new, start the server, and wait until it answers.

        Raises:
            Misconfigured: PostgreSQL is not installed, or its user can't reach the folder.
            StoreUnavailable: it ended, or did not answer in time; the end of its log stands in the message.
        """
        new = not (self.folder / "server").exists()
        if new:
            self._make()
        deadline = time.monotonic() + PATIENCE
        self._launch()
        while not self._answers():
            if not self.running and "still in use" in self.said():
                self._launch()  # the last process of a server that was killed has not gone yet
            elif not self.running or time.monotonic() > deadline:
                raise StoreUnavailable(f"postgresql at {self.folder} does not answer: {self.said()}")
            time.sleep(0.05)
        if new:
            self.create(NAME)

    def _make(self) -> None:
        """Mint a password and let initdb make the server's own folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"postgresql: {self.folder} can't be used: {error.strerror}") from error
        password = secrets.token_urlsafe(24)
        passfile = self.folder / "passfile"
        passfile.touch(mode=0o600)
        passfile.write_text(f"127.0.0.1:*:*:{NAME}:{password}\n")
        home, told, runner = self.folder / "draft", self.folder / "password", _runner()
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(mode=0o700)
        told.touch(mode=0o600)
        told.write_text(password)
        if runner:
            self.folder.chmod(0o755)
            for path in (home, told):
                os.chown(path, runner["user"], runner["group"])
        arguments = ["--username", NAME, f"--pwfile={told}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(  # noqa: S603
            [programs() / "initdb", "--pgdata", home, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            cwd="/",
            **runner,
        )
        told.unlink()
        if done.returncode:
            last = done.stdout.decode().strip().rpartition("\n")[2]
            raise Misconfigured(f"postgresql: {self.folder} can't be used: {last}")
        home.rename(self.folder / "server")

    def _launch(self) -> None:
        given = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # several servers on one machine would have to share a folder
            "recovery_init_sync_method": "syncfs",  # after kill -9: a new server's files one by one take 11 s
        }
        settings = [f"--{name}={value}" for name, value in {**given, **self._settings}.items()]
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [programs() / "postgres", "-D", self.folder / "server", *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is ours to handle
                cwd="/",
                **_runner(),
            )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return self.running

    def said(self) -> str:
        """Return the end of its log."""
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database like another, and return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            names = (psycopg.sql.Identifier(database), psycopg.sql.Identifier(template))
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return self.url(database)

    def stop(self) -> None:
        """End it cleanly; who is connected is sent away."""
        self.thaw()
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL for all its processes, as a crash would be; what the page cache holds survives it."""
        if self._process is not None and self.running:
            self._tell(signal.SIGKILL)
            self._process.wait(PATIENCE)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self._tell(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: go on as if nothing had been."""
        self._tell(signal.SIGCONT)

    def _tell(self, word: signal.Signals) -> None:
        for number in self._family():
            with suppress(ProcessLookupError):  # a connection's process ends with the connection
                os.kill(number, word)

    def _family(self) -> list[int]:
        """Return the first process, which makes the others, and the others."""
        if self._process is None or not self.running:
            return []
        first = self._process.pid
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.kill)
            self.start()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _runner() -> dict[str, Any]:
    """Return as whom the server runs: nobody else, unless we are root."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError as error:
        raise Misconfigured("postgresql does not run as root, and there is no user `postgres` here") from error
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


def main() -> int:
    """Start PostgreSQL on 127.0.0.1 and stay until Ctrl-C; the data is there again at the next start."""
    parser = argparse.ArgumentParser(prog="make postgres", description=main.__doc__)
    parser.add_argument("--data", type=Path, default=Path("build/postgres"), help="where all lies (%(default)s)")
    parser.add_argument("--port", type=int, default=5433, help="of 127.0.0.1 (%(default)s)")
    arguments = parser.parse_args()
    stop_when_asked()
    try:
        with Server(arguments.data, arguments.port) as server:
            print(f"{server.url()} answers; its data lies in {arguments.data}; Ctrl-C ends it", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("stopped")
    except OverreadError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
