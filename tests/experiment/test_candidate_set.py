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


def test_an_image_of_two_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotACandidateSet, match=r"candidates\.csv, line 3: image 'i' is of another patient"):
        made(tmp_path, "a,p,i,train,1,1,0\nb,q,i,test,2,2,1\n")


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "candidates.csv").write_text("candidate_id,patient_id,image_id,split,split\na,p,i,train,test\n")
    with pytest.raises(NotACandidateSet, match="the columns 'split' stand there twice"):
        read(tmp_path)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_blank_lines_count_in_the_line_that_is_named(tmp_path: Path, ends: str) -> None:
    with pytest.raises(NotACandidateSet, match=r"candidates\.csv, line 5: x, y and label .*'far'"):
        made(tmp_path, "a,p,i,,1,1,0\n\n\nb,p,i,,far,2,1\n".replace("\n", ends))


@pytest.mark.parametrize("written", ["2_8", "\uff12\uff18", "2.0", "0x1c", "2 8"])
def test_a_number_is_one_that_a_spreadsheet_writes(tmp_path: Path, written: str) -> None:
    with pytest.raises(NotACandidateSet, match=f"line 2: x, y and label are whole numbers.*{written}"):
        made(tmp_path, f"a,p,i,,{written},1,0\n")


def test_numbers_as_spreadsheets_write_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/i.png").touch()
    lines = "candidate_id,patient_id,image_id,x,y,label,score\na,p,i, 28,+3,0,1.5E-3\nb,p,i,0,0,1,.5\n"
    (tmp_path / "candidates.csv").write_text(lines)
    rows = read(tmp_path).rows
    assert [(row.x, row.y, row.score) for row in rows] == [(28, 3, 0.0015), (0, 0, 0.5)]
    for score in ("nan", "1e999", "1_0"):
        (tmp_path / "candidates.csv").write_text(lines.replace(".5\n", f"{score}\n"))
        with pytest.raises(NotACandidateSet, match=r"line 3: .*score is a number"):
            read(tmp_path)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\n"])
def test_an_id_with_a_line_break_is_refused_by_name(tmp_path: Path, character: str) -> None:
    with pytest.raises(NotACandidateSet, match=r"candidate_id 'a\\\w+b' holds a line break"):
        made(tmp_path, f'"a{character}b",p,i,,1,1,0\n')


def test_an_id_may_hold_any_letters(tmp_path: Path) -> None:
    assert made(tmp_path, "Läsion 7,患者　一,i,,1,1,0\n").rows[0].patient == "患者　一"
