from __future__ import annotations

import pytest

from overread.core.series import SeriesManifest, Slice

SLICES = tuple(Slice(instance=f"i-{number}", blob=f"{number}" * 64) for number in range(4))


def manifest(*, stack: bool) -> SeriesManifest:
    return SeriesManifest(series="e-1", modality="CT", rows=8, columns=8, stack=stack, slices=SLICES)


@pytest.mark.parametrize(("key", "expected"), [(0, [0, 0, 1]), (2, [1, 2, 3]), (3, [2, 3, 3])])
def test_a_stack_shows_the_model_the_neighbours_and_repeats_the_edge(key: int, expected: list[int]) -> None:
    assert manifest(stack=True).channels(key) == tuple(SLICES[number] for number in expected)


def test_a_single_image_stands_alone() -> None:
    assert manifest(stack=False).channels(2) == (SLICES[2],)


def test_a_manifest_comes_back_as_it_was_stored() -> None:
    whole = manifest(stack=True)
    assert SeriesManifest.model_validate_json(whole.model_dump_json()) == whole
