"""One look at a complete study: its images put into order, its reports read, its series searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from overread.candidates import marks as marking
from overread.candidates.generator import Generator
from overread.candidates.marks import Mark
from overread.candidates.series import Image, Series, arrange, places
from overread.config import Gateway, SourcePolicy
from overread.core.errors import Undecodable
from overread.core.events import Source
from overread.core.pseudonyms import Pseudonyms
from overread.core.series import Slice
from overread.pacs import pixels, sr
from overread.pacs.dimse import REPORTS
from overread.pacs.slices import Slices
from overread.store.blobs import Blobs


@dataclass
class Looked:
    """What one look found. Nothing of it is written yet, except the manifests, which are named by what they hold."""

    study: Any
    """Its row of `candidates_studies`."""
    instances: int
    fresh: set[str]
    """Instances that were to be looked at: new ones, and reports that waited."""
    marks: list[tuple[Mark, str]] = field(default_factory=list)
    """Each with its manifest's key."""
    problems: dict[str, list[str]] = field(default_factory=dict)
    """By instance."""
    waiting: set[str] = field(default_factory=set)
    """Reports that mark images which have not come."""

    def note(self, instance: str, *problems: str) -> None:
        """Remember what was wrong."""
        if problems:
            self.problems.setdefault(instance, []).extend(problems)


class Eye:
    """Reads and computes; `studies.Settle` writes."""

    def __init__(
        self, blobs: Blobs, slices: Slices, pseudonyms: Pseudonyms, gateway: Gateway, generator: Generator
    ) -> None:
        self._blobs, self._slices, self._pseudonyms = blobs, slices, pseudonyms
        self._gateway, self._generator = gateway, generator

    def look(self, study: Any, rows: Sequence[Any], earlier: Sequence[Any]) -> Looked:
        """Look at all of a study.

        Args:
            study: its row of `candidates_studies`.
            rows: its rows of `candidates_instances`.
            earlier: its rows of `candidates_found`.
        """
        new = {row.instance for row in rows if not row.settled}
        looked = Looked(study, len(rows), new | {row.instance for row in rows if row.waiting})
        reports = [row for row in rows if row.sop_class in REPORTS]
        images = [image for row in rows if row.sop_class not in REPORTS for image in self._image(looked, row)]
        series = arrange(images)
        found: list[Mark] = []
        for row in reports:
            if row.instance in looked.fresh:
                found += self._report(looked, row, series, frozenset(row.instance for row in rows))
        for one in series:
            # Only a series that grew is searched again.
            if new & {frame.image.instance for frame in one.frames} and self._wanted(one, has_report=bool(reports)):
                mine = [row for row in earlier if row.series == one.head.series and row.source == Source.GENERATOR]
                found += self._search(looked, one, mine)
        keys = {id(one): self._blobs.put(one.manifest.model_dump_json().encode()) for one in series}
        looked.marks = [(mark, keys[id(mark.series)]) for mark in found]
        return looked

    def _image(self, looked: Looked, row: Any) -> list[Image]:
        """Return the header of one instance, or nothing and a problem; its first frame is decoded to be sure of it."""
        try:
            image = Image.of(row, pixels.read(self._blobs.get(row.blob)))
            if not row.settled or row.problem is not None:
                self._slices.pixels(Slice(instance=row.instance, blob=row.blob))
        except Undecodable as error:
            looked.note(row.instance, str(error))
        except FileNotFoundError:
            looked.note(row.instance, marking.GONE)
        else:
            return [image]
        return []

    def _report(self, looked: Looked, row: Any, series: list[Series], known: frozenset[str]) -> list[Mark]:
        try:
            dataset = pixels.read(self._blobs.get(row.blob))
            regions = sr.regions(dataset)
            with pixels.guarded("the report's header can't be read"):
                uid = str(dataset.SOPInstanceUID)
        except Undecodable as error:
            looked.note(row.instance, str(error))
            return []
        except FileNotFoundError:
            looked.note(row.instance, marking.GONE)
            return []
        if not regions:
            looked.note(row.instance, marking.NO_REGIONS)
        resolved = marking.resolve(uid, regions, series, places(series), known, self._pseudonyms)
        looked.note(row.instance, *resolved.problems)
        if resolved.waiting:
            looked.waiting.add(row.instance)
        return [mark for mark in resolved.marks if self._policy(mark.series) is not SourcePolicy.GENERATOR]

    def _search(self, looked: Looked, series: Series, earlier: Sequence[Any]) -> list[Mark]:
        try:
            resolved = marking.search(self._generator, series, self._slices, earlier)
        except Undecodable as error:
            looked.note(series.head.instance, str(error))
            return []
        except FileNotFoundError:
            looked.note(series.head.instance, marking.GONE)
            return []
        looked.note(series.head.instance, *resolved.problems)
        return resolved.marks

    def _policy(self, series: Series) -> SourcePolicy:
        """Who sent the images decides, not who sent the report."""
        return self._gateway.peers.get(series.head.site, self._gateway.default_source)

    def _wanted(self, series: Series, *, has_report: bool) -> bool:
        """Whether the generator searches a series: with `auto` only where no report at all has come."""
        policy = self._policy(series)
        searching = policy is SourcePolicy.GENERATOR or (policy is SourcePolicy.AUTO and not has_report)
        return searching and not series.head.localizer
