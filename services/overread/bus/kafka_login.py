"""Who we are to a Kafka cluster: TLS, a certificate of our own, a name with a password (SASL), each where it is set.

Secrets come by file or by environment. They are in no message and no log: kafka-python gets them, nobody else.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509

from overread.core.errors import Misconfigured

log = logging.getLogger(__name__)

Named = TypeVar("Named", str, Path)


@dataclass(frozen=True)
class Login:
    """How a process shows who it is.

    `{room}` in `user` and in the files stands for the room, so that one setting gives each its own credentials.

    Args:
        tls: encrypt, and let the brokers show a certificate. A CA or a certificate of our own says so too.
        ca: PEM of the authorities that may have signed the brokers' certificates; None: those of the system.
        certificate: PEM of our own certificate (mTLS).
        key: PEM of its private key; None: it stands in the certificate's file.
        mechanism: SASL's, such as SCRAM-SHA-256; empty: none.
        user: who we are by SASL.
        password: ours, where it came by the environment.
        password_file: or where it stands; what follows the last newline does not count.
    """

    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    mechanism: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None

    def options(self, room: str) -> dict[str, Any]:
        """Return kafka-python's options for a room, or for the operator who types commands.

        Raises:
            Misconfigured: a file can't be used, or a part is missing; no secret is in the message.
        """
        encrypted = self.tls or self.ca is not None or self.certificate is not None
        if not encrypted and not self.mechanism:
            return {}
        options: dict[str, Any] = {}
        if encrypted:
            options["ssl_context"] = self._context(room)
        if self.mechanism:
            if not encrypted and self.mechanism == "PLAIN":
                raise Misconfigured(
                    "kafka.mechanism: PLAIN shows the password to the wire; set kafka.tls, or use SCRAM"
                )
            if not encrypted:
                log.warning("kafka: without kafka.tls everybody on the wire can read the bus")
            if not self.user:
                raise Misconfigured("kafka.user: who are we? kafka.mechanism needs it, such as overread-{room}")
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": _of(self.user, room),
                "sasl_plain_password": self._secret(room),
            }
        return {
            "security_protocol": ("SASL_" if self.mechanism else "") + ("SSL" if encrypted else "PLAINTEXT"),
            **options,
        }

    def _secret(self, room: str) -> str:
        if self.password:
            return self.password
        if self.password_file is None:
            raise Misconfigured("kafka.password_file: set it, or OVERREAD_KAFKA__PASSWORD in the environment")
        path = _of(self.password_file, room)
        try:
            found = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise Misconfigured(f"kafka.password_file: {path}: {why}") from error
        if not found:
            raise Misconfigured(f"kafka.password_file: {path} is empty")
        return found

    def _context(self, room: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        try:
            if self.ca is not None:
                context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise Misconfigured(f"kafka.ca: {self.ca}: {_why(error)}") from error
        if self.certificate is not None:
            certificate, key = _of(self.certificate, room), _of(self.key, room) if self.key else None
            try:
                context.load_cert_chain(certificate, key, password=lambda: "")
                ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
            except (OSError, ValueError) as error:
                raise Misconfigured(
                    f"kafka.certificate: {certificate} with {key or 'its key'}: {_why(error)}"
                ) from error
            if ends < datetime.now(UTC):  # a broker would only say "certificate unknown"
                raise Misconfigured(f"kafka.certificate: {certificate} expired on {ends:%Y-%m-%d}; renew it")
        return context


def _of(named: Named, room: str) -> Named:
    """Put the room's name in."""
    return type(named)(str(named).replace("{room}", room))


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
