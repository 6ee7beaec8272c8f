"""Pools larger than memory: logits and embeddings in an Arrow file, mapped and never read as a whole.

A pool's file, Arrow IPC or Parquet, has a row per candidate:

=============  =========================================  =============================================================
``id``         string                                     the candidate
``logits``     list of float16, float32 or float64        its m patches one after another, each with its C classes
``embedding``  fixed-size list of float16 or float32      what strategies of representatives look at; may be left out
=============  =========================================  =============================================================

and the schema's metadata says ``classes``, the number C. `write` makes an Arrow file of one record batch, whose numbers
`open_pool` maps where they lie. Any other (several batches, Parquet) is first rewritten so, some rows at a time.
"""

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from overread_learn.acquisition.bounds import fault
from overread_learn.acquisition.pool import EmptyPool, Pool

__all__ = ["open_pool", "write"]

ID, LOGITS, EMBEDDING, CLASSES = "id", "logits", "embedding", "classes"
ARROW, PARQUET = b"ARROW1", b"PAR1"
"""How such files begin."""
ROWS = 1 << 12
"""Rows of a Parquet file that are decoded at once."""


class _Rows(NamedTuple):
    """Some candidates as plain arrays."""

    ids: list[str]
    sizes: NDArray[np.int64]
    """(n,), how many logits each has: patches times classes."""
    logits: NDArray[np.floating]
    """(sum of sizes,)."""
    embeddings: NDArray[np.floating] | None
    """(n, d)."""


def write(
    path: Path,
    ids: Iterable[str],
    logits: Iterable[NDArray[np.floating]],
    embeddings: Iterable[NDArray[np.floating]] | None = None,
) -> None:
    """Write a pool's file: each candidate's (m_i, C) logits in float32, and its embedding, (d,), in float16 or float32.

    Logits and embeddings are taken one candidate at a time, so they need not fit in memory. The file appears whole or
    not at all. Raises EmptyPool where there is no candidate, and ValueError where one iterable is longer than another
    or a shape differs, or a number is not finite or beyond what float32 holds.
    """
    remaining = iter(logits)
    first = next(remaining, None)
    if first is None:
        raise EmptyPool("there is no candidate to write")
    classes = int(np.shape(first)[-1])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder) / path.name
        _write(partial, classes, _one_by_one(ids, chain([first], remaining), embeddings, classes))
        partial.replace(path)


def open_pool(
    path: Path, *, labelled: NDArray[np.floating] | None = None, counts: Mapping[int, int] | None = None
) -> Pool:
    """Open a pool's file: logits and embeddings are views of the mapped file, whose pages are read when looked at.

    ``labelled`` and ``counts`` are those of `Pool`. A file that cannot be mapped as it is becomes a temporary one
    beside it, or in the system's temporary folder where that is read-only; it is gone with the pool. Only a batch whose
    buffers are compressed is decoded into memory, one at a time.

    Raises FileNotFoundError, EmptyPool, and ValueError, which names the file, on anything that is no pool.
    """
    with path.open("rb") as file:
        magic = file.read(len(ARROW))
    try:
        if magic == ARROW:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            if reader.num_record_batches == 1:
                return _pool(reader, labelled, counts)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            return _rewritten(path, reader.schema, batches, labelled, counts)
        if magic.startswith(PARQUET):
            with pq.ParquetFile(path, memory_map=True) as parquet:
                batches = parquet.iter_batches(ROWS, columns=_own(parquet.schema_arrow))
                return _rewritten(path, parquet.schema_arrow, batches, labelled, counts)
    except EmptyPool as error:
        raise EmptyPool(f"{path}: {error}") from error
    except (ValueError, pa.ArrowNotImplementedError) as error:  # of pyarrow, what it cannot read; not what it lacks
        raise ValueError(f"{path}: {error}") from error
    raise ValueError(f"{path}: neither an Arrow IPC file nor a Parquet file")


def _pool(reader: Any, labelled: NDArray[np.floating] | None, counts: Mapping[int, int] | None) -> Pool:
    """Map a file of one batch."""
    classes = _classes(reader.schema)
    rows = _rows(reader.get_batch(0), classes)
    return Pool(
        rows.ids,
        rows.logits.reshape(-1, classes),
        np.concatenate([[0], np.cumsum(rows.sizes // classes)]),
        rows.embeddings,
        labelled,
        counts or {},
    )


def _rewritten(
    path: Path,
    schema: Any,
    batches: Iterable[Any],
    labelled: NDArray[np.floating] | None,
    counts: Mapping[int, int] | None,
) -> Pool:
    classes = _classes(schema)
    beside = path.parent if os.access(path.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=beside, prefix=f".{path.name}.") as folder:
        copy = Path(folder) / "pool.arrow"
        _write(copy, classes, (_rows(batch, classes) for batch in batches))
        # The file loses its name when the folder goes; what is mapped stays until nobody looks at it.
        return _pool(pa.ipc.open_file(pa.memory_map(str(copy))), labelled, counts)


def _classes(schema: Any) -> int:
    """Return the number of classes that a schema states; raises ValueError where it isn't a pool's."""
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise ValueError(f"of a column there is one, and {', '.join(twice)} stands there twice")
    columns = {name: schema.field(name).type for name in schema.names}
    said = (schema.metadata or {}).get(CLASSES.encode(), b"").decode()
    if not {ID, LOGITS} <= set(columns):
        raise ValueError(f"a pool has the columns id, logits and perhaps embedding; this has {', '.join(columns)}")
    if not (pa.types.is_string(columns[ID]) or pa.types.is_large_string(columns[ID])):
        raise ValueError(f"column id must be strings, not {columns[ID]}")
    logits = columns[LOGITS]
    if not (pa.types.is_list(logits) or pa.types.is_large_list(logits)) or not pa.types.is_floating(logits.value_type):
        raise ValueError(f"column logits must be lists of floats, a candidate's patches on end, not {logits}")
    wide = columns.get(EMBEDDING)
    if wide is not None and not (
        pa.types.is_fixed_size_list(wide) and wide.value_type in {pa.float16(), pa.float32()} and wide.list_size > 0
    ):
        raise ValueError(f"column embedding must be fixed-size lists of float16 or float32, not {wide}")
    if not said.isdecimal() or int(said) < 2:
        raise ValueError(f"the schema's metadata must say 'classes', the number of them (2 or more), not {said!r}")
    return int(said)


def _own(schema: Any) -> list[str]:
    """Return which of a pool's columns a schema has: others are nobody's business."""
    return [name for name in (ID, LOGITS, EMBEDDING) if name in schema.names]


def _rows(batch: Any, classes: int) -> _Rows:
    """View a batch as arrays; only the ids are copied."""
    for name in _own(batch.schema):
        if batch.column(name).null_count or (name != ID and batch.column(name).flatten().null_count):
            raise ValueError(f"column {name} has nulls")
    ids, logits = batch.column(ID).to_pylist(), batch.column(LOGITS)
    sizes = np.diff(logits.offsets.to_numpy()).astype(np.int64)
    wrong = (sizes < 1) | (sizes % classes > 0)
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(f"candidate {ids[place]}: {sizes[place]} logits are not patches of {classes} classes each")
    embeddings = None
    if EMBEDDING in batch.schema.names:
        column = batch.column(EMBEDDING)
        embeddings = column.flatten().to_numpy(zero_copy_only=True).reshape(-1, column.type.list_size)
    return _Rows(ids, sizes, logits.flatten().to_numpy(zero_copy_only=True), embeddings)


def _one_by_one(
    ids: Iterable[str],
    logits: Iterable[NDArray[np.floating]],
    embeddings: Iterable[NDArray[np.floating]] | None,
    classes: int,
) -> Iterator[_Rows]:
    """Check each candidate, and view it as a row; raises ValueError, which names it."""
    columns = (ids, logits) if embeddings is None else (ids, logits, embeddings)
    width, kind = 0, None
    for candidate, own, *rest in zip(*columns, strict=True):
        if own.ndim != 2 or not len(own) or own.shape[1] != classes or classes < 2:  # patch, class
            raise ValueError(
                f"candidate {candidate}: logits are {own.shape}, not (patches >= 1, classes >= 2 and as many for all)"
            )
        if fault(own):
            raise ValueError(f"candidate {candidate}: a logit is {fault(own)}")
        embedding = np.asarray(rest) if rest else None
        if embedding is not None:
            if fault(embedding):
                raise ValueError(f"candidate {candidate}: an embedding is {fault(embedding)}")
            width = width or embedding.size
            if embedding.shape != (1, width):
                raise ValueError(
                    f"candidate {candidate}: an embedding is {embedding.shape[1:]}, the first is ({width},)"
                )
            embedding = embedding.astype(np.float16 if embedding.dtype == np.float16 else np.float32, copy=False)
            kind = kind or embedding.dtype
            if embedding.dtype != kind:
                raise ValueError(f"candidate {candidate}: an embedding is {embedding.dtype}, the first is {kind}")
        yield _Rows([candidate], np.array([own.size]), np.asarray(own, np.float32).ravel(), embedding)


def _write(path: Path, classes: int, parts: Iterable[_Rows]) -> None:
    """Write an Arrow file of one batch."""
    ids: list[str] = []
    sizes: list[NDArray[np.int64]] = []
    with tempfile.TemporaryFile(dir=path.parent) as first, tempfile.TemporaryFile(dir=path.parent) as second:
        logits, embeddings = _Numbers(first), _Numbers(second)
        for part in parts:
            ids.extend(part.ids)
            sizes.append(part.sizes)
            logits.add(part.logits)
            if part.embeddings is not None:
                embeddings.add(part.embeddings)
        if not ids:
            raise EmptyPool("there is no candidate in it")
        values, offsets = logits.column(), np.concatenate([[0], *sizes]).cumsum()
        lists = pa.large_list(values.type)
        columns = {
            ID: pa.array(ids, pa.large_string()),
            LOGITS: pa.Array.from_buffers(lists, len(ids), [None, pa.py_buffer(offsets)], children=[values]),
        }
        if embeddings.shape:
            columns[EMBEDDING] = pa.FixedSizeListArray.from_arrays(embeddings.column(), embeddings.shape[0])
        schema = pa.schema([(name, column.type) for name, column in columns.items()], metadata={CLASSES: str(classes)})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))


class _Numbers:
    """Numbers that pass through a scratch file, so that they are never in memory together."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._dtype: np.dtype[Any] | None = None
        self.shape: tuple[int, ...] = ()
        """That of one row."""

    def add(self, rows: NDArray[np.floating]) -> None:
        """Append rows of one shape, in the type of the first ones."""
        if self._dtype is None:
            self._dtype, self.shape = rows.dtype, rows.shape[1:]
        rows.astype(self._dtype, copy=False).tofile(self._file)

    def column(self) -> Any:
        """Return them all as one mapped Arrow array."""
        self._file.flush()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        kind = pa.from_numpy_dtype(self._dtype)
        return pa.Array.from_buffers(kind, len(mapped) * 8 // kind.bit_width, [None, pa.py_buffer(mapped)])
