"""What a candidate set may hold, and what of it is refused by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from overread_learn.experiment.candidate_set import CandidateSet, NotACandidateSet, read

HEAD = "candidate_id,patient_id,image_id,split,x,y,label\n"


def made(folder: Path, rows: str, *images: str) -> CandidateSet:
    (folder / "images").mkdir(exist_ok=True)
    for image in images or ("i",):
        (folder / "images" / f"{image}.png").touch()
    (folder / "candidates.csv").write_bytes((HEAD + rows).encode())
    return read(folder)


@pytest.mark.parametrize("split", ["train", "validation", "test", "locked"])
def test_a_patient_has_as_many_rows_of_one_split_as_he_likes(tmp_path: Path, split: str) -> None:
    found = made(tmp_path, f"a,p,i,{split},1,1,0\nb,p,i,{split},2,2,1\n")
    assert len(found.rows) == 2
    assert len(found.splits) == 1
    if split in {"validation", "locked"}:  # as they are
        assert found.side("p") == split


def test_a_patient_of_two_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotACandidateSet, match="line 3: this patient is in two splits"):
        made(tmp_path, "a,p,i,validation,1,1,0\nb,p,i,locked,2,2,1\n")
