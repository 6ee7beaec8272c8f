"""One JSON object a line on stderr. Identifiers never reach a log: rooms log pseudonyms, counts and reasons."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from overread.core.errors import OverreadError

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """`extra={…}` becomes fields beside time, level, room, logger and message."""

    def __init__(self, room: str) -> None:
        super().__init__()
        self._room = room

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": self._room,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _PLAIN})
        if record.exc_info:
            line["exception"] = _where(record.exc_info[1])
        return json.dumps(line, default=str)


def _where(error: BaseException | None) -> str:
    """Type and place; the message only of our own errors, since a third party's may quote what it choked on."""
    if error is None:
        return ""
    said = f": {error}" if isinstance(error, OverreadError) else ""
    return f"{type(error).__name__}{said}\n" + "".join(traceback.format_tb(error.__traceback__))


def configure(room: str, level: str = "info") -> None:
    """Send our log to stderr as JSON lines; third parties speak from warnings upwards.

    The DICOM libraries quote what they choke on: of their errors only the place is logged, never the words. Kafka's
    client says four lines a second while its broker is away; our own errors carry the reason (bus/kafka_client.py).
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(room))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("overread").setLevel(level.upper())
    for name in ("pynetdicom", "pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.ERROR)
    handler.addFilter(_unquote)
    if level.lower() != "debug":
        handler.addFilter(lambda record: record.name.split(".")[0] != "kafka")


def _unquote(record: logging.LogRecord) -> bool:
    if record.name.split(".")[0] in {"pynetdicom", "pydicom", "highdicom"}:
        record.msg, record.args = f"error in {record.module}.{record.funcName}", ()
    return True
