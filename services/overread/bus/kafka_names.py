"""One mend of kafka-python 3.0: a header whose name is no UTF-8 stops nobody.

Kafka calls a header's name a string and checks nothing, so another system may have written any bytes. kafka-python
decodes them strictly, in the middle of a batch: the error comes back at every poll, and the partition stands still for
ever. By private names, hence the pin below 3.1; `tests/bus/test_kafka.py` fails without it.
"""

from __future__ import annotations

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch


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
