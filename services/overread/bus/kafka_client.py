"""How a Kafka cluster is reached: where, with which patience, and what stands behind "unable to bootstrap".

The client is kafka-python. Its constructors block until a broker answers, leave sockets and a thread behind when none
does, and name the cause (a wrong password, an unknown authority, nobody there) only in its log. `opened` puts all of
that right.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import IPv6Address
from typing import Any, Self, TypeVar

from kafka import KafkaProducer
from kafka.errors import AuthorizationError, KafkaConfigurationError, KafkaError

from overread.core.errors import BusUnavailable, Misconfigured, OverreadError

log = logging.getLogger(__name__)

Client = TypeVar("Client")

SCHEME = "kafka://"


@dataclass(frozen=True)
class Access:
    """Where the brokers are, and how long one waits for what (s).

    Raises:
        Misconfigured: by `from_url`, where it names no broker.
    """

    servers: tuple[str, ...]
    """`host:port` of some brokers; the others are learnt from them."""
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """kafka-python's options `security_protocol`, `sasl_*`, `ssl_*`; never shown."""
    answer: float = 10.0
    """For a broker to answer at all, or to say what it knows of a topic or a group."""
    delivery: float = 120.0
    """For a publish to be acknowledged; well above any outage that is to be sat out."""
    session: float = 30.0
    """For a member that fell silent to be given up. Heartbeats are sent in the background, ten in this time."""
    work: float = 900.0
    """Between two signs of life of a worker (`poll` or `keep_alive`), before its partitions go to others."""
    stall: float = 60.0
    """Without progress while there is something to read, before a consumer is made anew."""

    @classmethod
    def from_url(cls, url: str, **more: Any) -> Self:
        """Return the access that `kafka://host:port[,host:port…]` describes; an IPv6 address stands in brackets."""
        servers = tuple(url.removeprefix(SCHEME).split(","))
        if not url.startswith(SCHEME) or not all(map(_is_server, servers)):
            raise Misconfigured(  # the URL is not repeated: a password may stand in it
                "bus_url: it has to read kafka://host:port or kafka://host:port,host:port, each port from 1 to 65535; "
                "an IPv6 address as [::1]:9092; who we are stands in the settings kafka.*"
            )
        return cls(servers, **more)


def _is_server(text: str) -> bool:
    """Whether it reads `host:port`, and nothing else stands in it."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|[^\s:/@?#\[\]]+):([0-9]{1,5})", text)
    if found is None or not 1 <= int(found[2]) <= 65535:
        return False
    with suppress(ValueError):
        return found[1] is None or bool(IPv6Address(found[1]))
    return False


REFUSALS = re.compile(r"SaslAuthenticationFailed|UnsupportedSaslMechanism|IllegalSaslState|\[SSL|[Cc]ertificate")
"""Of the reasons that kafka-python logs, those that no waiting will change."""
HUNG_UP = 3
"""So often a broker has to hang up while we log in before that is a refusal: one that is ending does so once."""


class _Overheard(logging.Handler):
    """Keeps why the last try failed, by kafka-python's log, while a client is made.

    A refusal stays: often it is said once. Where the broker's answer and the end of the connection come together,
    kafka-python loses the answer ("socket disconnected"); a wrong password then shows only in that the broker spoke
    with us (its version is known) and hung up, again and again.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last, self._refusal, self._hung_up = "", "", 0

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if "Connection lost:" in said:
            self._hung_up += bool(re.search(r"broker_version=\(.*socket disconnected", said))
        elif found := re.search(r"^Bootstrap connection to \S+ failed: (.*?)( \(backoff|$)", said):
            self._last = found[1]
            if REFUSALS.search(self._last):
                self._refusal = self._last

    def refusal(self, *, logs_in: bool) -> str:
        """Return why no waiting will help, or nothing."""
        if not self._refusal and logs_in and self._hung_up >= HUNG_UP:
            return "it hangs up while we log in; the user, the password or the mechanism is wrong"
        return self._refusal

    @property
    def last(self) -> str:
        """The last reason, whatever it was."""
        unheard = " (it may want TLS or a password, see the settings kafka.*)"
        not_ours = "socket disconnected" in self._last or "Invalid frame" in self._last  # a TLS alert, read as Kafka's
        return self._last + (unheard if not_ours and not self._hung_up else "")

    def __enter__(self) -> Self:
        logging.getLogger("kafka").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("kafka").removeHandler(self)


def opened(make: Callable[..., Client], access: Access, **options: Any) -> Client:
    """Make a client of kafka-python; leave nothing behind where that fails.

    Raises:
        BusUnavailable: no broker let us in within `access.answer` seconds; the message says why.
        Misconfigured: an option can't work, or the broker does not want us: a wrong password, an expired certificate.
    """
    networks: list[Any] = []

    def network(**given: Any) -> Any:
        networks.append(KafkaProducer.DEFAULT_CONFIG["kafka_client"](**given))
        return networks[-1]

    common = {
        "bootstrap_servers": list(access.servers),
        "bootstrap_timeout_ms": milliseconds(access.answer),
        "reconnect_backoff_max_ms": 1000,  # the default of 30 s would outlast most restarts of a broker
        "metadata_max_age_ms": 60_000,
        "kafka_client": network,
    }
    with _Overheard() as overheard, _bounded(networks, access.answer) as silent:
        try:
            return make(**common, **access.security, **options)
        except (KafkaError, OSError, ValueError) as error:
            reason = "it took the connection and said nothing" if silent.is_set() else overheard.last or str(error)
            for left in networks:
                left.close()
            where = ",".join(access.servers)
            if refusal := overheard.refusal(logs_in="sasl_mechanism" in access.security):
                raise Misconfigured(f"kafka at {where} refused us: {refusal}; see the settings kafka.*") from error
            if isinstance(error, KafkaError) and not isinstance(error, KafkaConfigurationError):
                raise BusUnavailable(f"kafka at {where} let us not in within {access.answer:g} s: {reason}") from error
            raise Misconfigured(f"kafka at {where}: {error}") from error


@contextmanager
def _bounded(networks: list[Any], seconds: float) -> Iterator[threading.Event]:
    """End a bootstrap that would not end by itself, such as a TLS handshake with a silent peer; say so in the event."""
    silent = threading.Event()

    def give_up() -> None:
        silent.set()
        for network in networks:
            with suppress(RuntimeError):  # closed meanwhile
                network._net.call_soon_threadsafe(network._manager.close)  # noqa: SLF001

    timer = threading.Timer(seconds + 1, give_up)
    timer.start()
    try:
        yield silent
    finally:
        timer.cancel()
        timer.join()


def translated(error: KafkaError, what: str) -> OverreadError:
    """Return our error for one of kafka-python's that says nothing about a single record.

    A right that is missing is the operator's to give: everything else may pass.
    """
    if isinstance(error, AuthorizationError) or "AuthorizationFailed" in str(error):
        return Misconfigured(f"{what}: this user lacks the right: {error}; grant it (kafka-acls)")
    return BusUnavailable(f"{what}: {error}")


def milliseconds(seconds: float) -> int:
    """Return what kafka-python counts in."""
    return int(seconds * 1000)


def warn_without_crc32c() -> None:
    """Say that the checksum is computed in Python: publishing is then about eight times slower."""
    if find_spec("crc32c") is None:
        log.warning("kafka: crc32c is not installed, so publishing is slow; pip install 'kafka-python[crc32c]'")
