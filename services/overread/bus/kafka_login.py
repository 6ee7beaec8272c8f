"""Who we are to a Kafka cluster: TLS, a certificate of our own, a name with a password (SASL), each where it is set.

Secrets come by file or by environment. They are in no message and no log: kafka-python gets them, nobody else.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509

from overread.config import Kafka
from overread.core.errors import Misconfigured

log = logging.getLogger(__name__)

Named = TypeVar("Named", str, Path)


def options(login: Kafka, room: str) -> dict[str, Any]:
    """Return kafka-python's options for a room, or for the operator who types commands.

    Raises:
        Misconfigured: a file can't be used, or a part is missing; no secret is in the message.
    """
    encrypted = login.tls or login.ca is not None or login.certificate is not None
    if not encrypted and not login.mechanism:
        return {}
    found: dict[str, Any] = {}
    if encrypted:
        found["ssl_context"] = _context(login, room)
    if login.mechanism:
        if not encrypted and login.mechanism == "PLAIN":
            raise Misconfigured("kafka.mechanism: PLAIN shows the password to the wire; set kafka.tls, or use SCRAM")
        if not encrypted:
            log.warning("kafka: without kafka.tls everybody on the wire can read the bus")
        if not login.user:
            raise Misconfigured("kafka.user: who are we? kafka.mechanism needs it, such as overread-{room}")
        found |= {
            "sasl_mechanism": login.mechanism,
            "sasl_plain_username": _of(login.user, room),
            "sasl_plain_password": _secret(login, room),
        }
    return {
        "security_protocol": ("SASL_" if login.mechanism else "") + ("SSL" if encrypted else "PLAINTEXT"),
        **found,
    }


def _secret(login: Kafka, room: str) -> str:
    if given := login.password.get_secret_value():
        return given
    if login.password_file is None:
        raise Misconfigured("kafka.password_file: set it, or OVERREAD_KAFKA__PASSWORD in the environment")
    path = _of(login.password_file, room)
    try:
        found = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Misconfigured(f"kafka.password_file: {path}: {why}") from error
    if not found:
        raise Misconfigured(f"kafka.password_file: {path} is empty")
    return found


def _context(login: Kafka, room: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if login.ca is not None:
            context = ssl.create_default_context(cafile=login.ca)
    except OSError as error:
        raise Misconfigured(f"kafka.ca: {login.ca}: {_why(error)}") from error
    if login.certificate is not None:
        certificate, key = _of(login.certificate, room), _of(login.key, room) if login.key else None
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")
            ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as error:
            raise Misconfigured(f"kafka.certificate: {certificate} with {key or 'its key'}: {_why(error)}") from error
        if ends < datetime.now(UTC):  # a broker would only say "certificate unknown"
            raise Misconfigured(f"kafka.certificate: {certificate} expired on {ends:%Y-%m-%d}; renew it")
    return context


def _of(named: Named, room: str) -> Named:
    """Put the room's name in."""
    return type(named)(str(named).replace("{room}", room))


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
