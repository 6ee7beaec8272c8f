"""The order of a series' slices, fixed at the moment when candidates were found in it.

A manifest is stored as a blob under its own SHA-256 and named by every candidate of the series, so that the detector,
the model and the reader see the same pixels even where instances arrive late: those make a new manifest.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Slice(BaseModel):
    """One frame that can be shown and scored."""

    model_config = ConfigDict(frozen=True)

    instance: str
    """Pseudonym of the SOP instance."""
    blob: str
    """SHA-256 of the instance's bytes, the key in the blob store."""
    frame: int = 0
    """0-based frame of a multi-frame instance."""


class SeriesManifest(BaseModel):
    """Slices in display order (by position along the normal, else by instance number)."""

    model_config = ConfigDict(frozen=True)

    series: str
    modality: str
    rows: int
    columns: int
    spacing_mm: float | None = None
    """Pixel spacing in the plane (mm), where the instance gives one."""
    stack: bool = False
    """True where neighbouring slices are neighbours in space (CT, MR): the model then sees them as channels."""
    slices: tuple[Slice, ...]

    def channels(self, key: int) -> tuple[Slice, Slice, Slice] | tuple[Slice]:
        """The slices that the model sees at `key`: below, key, above (the edge repeats), or the one image."""
        if not self.stack:
            return (self.slices[key],)
        return self.slices[max(key - 1, 0)], self.slices[key], self.slices[min(key + 1, len(self.slices) - 1)]
