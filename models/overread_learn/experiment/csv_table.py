"""Reads a CSV file that somebody else wrote: each row under its header, with the line to name in what is refused."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Table", "table"]


class Table(NamedTuple):
    """A file's columns, and its rows with the number of the line on which each ends."""

    columns: Sequence[str]
    rows: list[tuple[int, dict[str, str]]]


def table(file: Path, content: bytes) -> Table:
    """Read a table, with or without the mark by which editors begin UTF-8. ``file`` is named in errors.

    Raises ValueError where it is no CSV in UTF-8, a column stands there twice, or a row has more or fewer values than
    there are columns: a comma too many or a file cut short moves values below names that aren't theirs, or loses them.
    """
    try:
        # A row ends where CSV says, not at everything that Unicode calls a line; blank lines count in what is reported.
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: not a CSV file in UTF-8 ({error})") from error
    columns = reader.fieldnames or ()
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ValueError(f"{file}: the columns {', '.join(map(ascii, twice))} stand there twice")
    for number, row in rows:
        # DictReader's marks: what stands beyond the last column has the key None, what is not there the value None.
        found = sum(value is not None for name, value in row.items() if name is not None) + len(row.get(None, ()))
        if found != len(columns):
            raise ValueError(
                f"{file.name}, line {number}: {found} values, and there are {len(columns)} columns; what is empty has "
                "its comma too, and a value that holds one stands in quotes"
            )
    return Table(columns, rows)
