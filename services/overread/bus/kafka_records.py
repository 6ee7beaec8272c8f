"""Records as the port has them, whatever another system has written into them.

One mend of kafka-python 3.0 is for a header whose name is no UTF-8. Kafka calls it a string and checks nothing;
kafka-python decodes it strictly, in the middle of a batch: the error comes back at every poll, and the partition stands
still for ever. By private names, hence the pin below 3.1; `tests/bus/test_kafka.py` fails without it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch

from overread.bus.port import Message, Partition, Record


def read(record: Any) -> Message:
    """Return a record as the port has it.

    A key that is no UTF-8 is mended, since no database would take it for the dead letters. A header without a value is
    empty, and of several with one name the last one counts.
    """
    key = (record.key or b"").decode(errors="replace")
    headers = {name: bytes(value or b"") for name, value in record.headers}
    # A broker may be told to take any number for a time; calendars end with the year 9999.
    time_ = datetime.fromtimestamp(min(max(0, record.timestamp), 253_402_300_799_000) / 1000, UTC)
    return Message(
        Partition(record.topic, record.partition),
        record.offset,
        time_,
        Record(record.topic, key, record.value, headers),
    )


class _Forgiving(bytearray):
    """Bytes whose parts are decoded whatever they are: what is no UTF-8 becomes U+FFFD."""

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        return _Forgiving(part) if isinstance(place, slice) else part

    def decode(self, encoding: str = "utf-8", _errors: str = "strict") -> str:
        return super().decode(encoding, "replace")


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch that reads such a record once more, forgivingly."""

    _buffer: bytearray

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:  # the place in the buffer is still that of the record's beginning
            strict = self._buffer
            self._buffer = _Forgiving(strict)
            try:
                return super()._read_msg()
            finally:
                self._buffer = strict


def forgive_names() -> None:
    """Let every consumer of this process read such records."""
    memory_records.DefaultRecordBatch = _Batch
