"""One name, one spelling: of two that look alike, one patient would become two, on both sides of a split."""

import unicodedata
from collections.abc import Iterable, Mapping

__all__ = ["Spellings"]

UNSEEN = {"Zs", "Cf"}
"""Unicode's categories of blanks, and of marks without a width. Within a name they may mean something."""


class Spellings:
    """The names that stood in some columns so far, each as it was first spelt."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], str] = {}

    def check(self, where: str, line: Mapping[str, str], columns: Iterable[str]) -> None:
        """Note the names of a line; nothing is said of an empty one.

        Raises ValueError, which begins with ``where``, for one that begins or ends with what nobody sees (DICOM pads
        its ids with blanks, which mean nothing), and for one that its column had in another spelling before: é is one
        character or two (Unicode's NFC and NFD).
        """
        for column in columns:
            name = line.get(column, "")
            if name and not UNSEEN.isdisjoint(map(unicodedata.category, (name[0], name[-1]))):
                raise ValueError(
                    f"{where}: {column} {name!a} begins or ends with a blank or an invisible mark, by which one would "
                    "be two; remove it"
                )
            first = self._first.setdefault((column, unicodedata.normalize("NFC", name)), name)
            if first != name:
                raise ValueError(
                    f"{where}: {column} {name!a} was spelt {first!a} before, and both look alike; write one way (NFC)"
                )
