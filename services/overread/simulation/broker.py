# ruff: noqa: T201 - it talks to whoever started it
"""Real Kafka brokers on this machine, one or three: formatted, started, ill-treated.

`make kafka` starts one in the foreground, for people who want to try. Tests and fault drills hold a `Cluster`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Self
from uuid import uuid4

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from overread.core.errors import BusUnavailable, OverreadError
from overread.simulation.broker_jars import libraries
from overread.simulation.stopping import stop_when_asked

MEMORY = ("-Xms128m", "-Xmx256m", "-XX:+UseSerialGC")
PATIENCE = 60.0
"""Longest wait for brokers to answer (s). A start takes 3 s, three nodes 8 s, after kill -9 up to 9 s."""
LEAVE = 10.0
"""Longest wait for a node that was asked to stop (s). Alone it takes 0.3 s."""

_OURS = files("overread.simulation") / "kafka"


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as held:
        return [
            held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]  # held until all are known
            for _ in range(count)
        ]


class Node:
    """One broker process. Everything that it holds lies in `folder`, and is there again after the next start.

    Args:
        folder: absolute; made where it is not there.
        number: its node.id.
        port: where clients reach it.
        properties: the content of its server.properties.
        users: SCRAM-SHA-256 passwords by name, for those who have to be known before anybody can be made known.
    """

    def __init__(self, folder: Path, number: int, port: int, properties: str, users: Mapping[str, str]) -> None:
        self.folder, self.number, self.port = folder, number, port
        self._properties, self._users = properties, users
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether its process lives; one that is frozen does."""
        return self._process is not None and self._process.poll() is None

    def start(self, cluster: str) -> None:
        """Format the folder if it is new, and start the process; does not wait until it answers."""
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "server.properties"
        settings.write_text(self._properties)
        java = ["java", *MEMORY, "-Dlog4j2.level=WARN", "-cp", f"{libraries()}/*"]
        with (self.folder / "broker.log").open("ab") as log:
            if not (self.folder / "log" / "meta.properties").exists():
                tool = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(settings)]
                for name, password in self._users.items():
                    tool += ["--add-scram", f"SCRAM-SHA-256=[name={name},password={password}]"]
                if subprocess.run(tool, stdout=log, stderr=log, check=False).returncode:  # noqa: S603
                    raise BusUnavailable(f"kafka: {self.folder} could not be formatted: {self.said()}")
            # It ends when we are killed. In a session of its own: Ctrl-C in a terminal is ours to handle.
            server = ["setpriv", "--pdeathsig", "KILL", *java, "kafka.Kafka", str(settings)]
            self._process = subprocess.Popen(server, stdout=log, stderr=log, start_new_session=True)  # noqa: S603

    def said(self) -> str:
        """Return the end of its log."""
        return (self.folder / "broker.log").read_text(errors="replace")[-2000:]

    def ask_to_stop(self) -> None:
        """SIGTERM; does not wait."""
        self.thaw()
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it cleanly, or by force where it does not go: without a quorum it would ask for leave for ever."""
        self.ask_to_stop()
        try:
            self._wait(LEAVE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash of the process would be; what the page cache holds survives it."""
        self._signal(signal.SIGKILL)
        self._wait(PATIENCE)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: go on as if nothing had been."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def _wait(self, seconds: float) -> None:
        if self._process is not None:
            self._process.wait(seconds)


class Cluster:
    """One broker, or several that replicate to each other, as a context manager or by `start` and `stop`.

    Args:
        folder: where all data lies; the same folder again holds the same topics.
        nodes: how many; three keep a topic alive when one is dead (replicas 3, min.insync.replicas 2).
        ports: one a node; free ones if not given.
        settings: lines for server.properties that win over the template's; `{port}` and `{controller}` are the node's.
        users: SCRAM-SHA-256 passwords by name, see `Node`.
        client: kafka-python's options for whoever asks whether the cluster answers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        ports: Sequence[int] | None = None,
        settings: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder, self._client = folder.resolve(), dict(client or {})
        free = free_ports(nodes * 2)
        chosen, controllers = list(ports or free[:nodes]), free[nodes:]
        numbers = range(1, nodes + 1)
        shared = {
            "voters": ",".join(f"{number}@127.0.0.1:{port}" for number, port in zip(numbers, controllers, strict=True)),
            "replicas": nodes,
            "in_sync": nodes // 2 + 1,
        }
        template = Template((_OURS / "server.properties").read_text())
        last = "".join(f"{name}={value}\n" for name, value in (settings or {}).items())
        self.nodes = tuple(
            Node(
                home := self._folder / f"node-{number}",
                number,
                port,
                template.substitute(shared, node=number, port=port, controller=controller, log=home / "log")
                + last.replace("{port}", str(port)).replace("{controller}", str(controller)),
                users or {},
            )
            for number, port, controller in zip(numbers, chosen, controllers, strict=True)
        )

    @property
    def servers(self) -> list[str]:
        """`host:port` of every node."""
        return [f"127.0.0.1:{node.port}" for node in self.nodes]

    @property
    def url(self) -> str:
        """The value of the setting `bus_url`."""
        return f"kafka://{','.join(self.servers)}"

    def start(self) -> None:
        """Start every node that does not run, and wait until all of them answer.

        Raises:
            BusUnavailable: a node ended, or did not answer in time; the end of its log stands in the message.
        """
        for node in self.nodes:
            node.start(self._identity())
        self.wait()

    def _identity(self) -> str:
        """Return the id that every node's folder is formatted with."""
        file = self._folder / "cluster.id"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("="))
        return file.read_text()

    def wait(self) -> None:
        """Wait until every node answers; see `start`."""
        deadline = time.monotonic() + PATIENCE
        while not self._complete():
            for node in self.nodes:
                if not node.running:
                    raise BusUnavailable(f"kafka: node {node.number} ended: {node.said()}")
            if time.monotonic() > deadline:
                raise BusUnavailable(f"kafka: no answer after {PATIENCE:.0f} s: {self.nodes[0].said()}")

    def _complete(self) -> bool:
        try:
            for node in self.nodes:
                socket.create_connection(("127.0.0.1", node.port), timeout=1).close()
            patience = {"bootstrap_timeout_ms": 1000, "request_timeout_ms": 5000}
            admin = KafkaAdminClient(bootstrap_servers=self.servers, **patience, **self._client)
        except (OSError, KafkaError):
            time.sleep(0.05)
            return False
        try:
            return len(admin.describe_cluster()["brokers"]) == len(self.nodes)
        except KafkaError:
            return False
        finally:
            admin.close()

    def stop(self) -> None:
        """Stop every node cleanly, all at a time."""
        for node in self.nodes:
            node.ask_to_stop()
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as failed:
            failed.callback(self.stop)
            self.start()
            failed.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def main() -> int:
    """Start Kafka on 127.0.0.1 and stay until Ctrl-C; the data is there again at the next start."""
    parser = argparse.ArgumentParser(prog="make kafka", description=main.__doc__)
    parser.add_argument("--data", type=Path, default=Path("build/kafka"), help="where everything lies (%(default)s)")
    parser.add_argument("--port", type=int, default=9092, help="the first node's; the others count up (%(default)s)")
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 3), help="brokers (%(default)s)")
    arguments = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a client that waits for its broker complains of it
    ports = [arguments.port + number for number in range(arguments.nodes)]
    cluster = Cluster(arguments.data / f"of-{arguments.nodes}", nodes=arguments.nodes, ports=ports)
    stop_when_asked()
    try:
        with cluster:
            print(f"{cluster.url} answers; its data lies in {arguments.data}; Ctrl-C ends it", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("stopped")
    except OverreadError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
