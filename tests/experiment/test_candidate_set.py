"""What a candidate set may hold, and what of it is refused by its line."""

from __future__ import annotations

import hashlib
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


@pytest.mark.parametrize("other", ["locked", "train"])
def test_a_patient_of_two_splits_is_refused(tmp_path: Path, other: str) -> None:
    for patient in ("p15", "p"):  # by their hashes, of train patients the first is for validation, the other isn't
        with pytest.raises(NotACandidateSet, match="line 3: this patient is in two splits"):
            made(tmp_path, f"a,{patient},i,validation,1,1,0\nb,{patient},i,{other},2,2,1\n")


# Which side patients are on


def sides(folder: Path, *splits: str) -> str:
    """The sides' first letters of patients p00, p01 and so on, of whom the set says this."""
    folder.mkdir()
    names = [f"p{number:02}" for number in range(len(splits))]
    found = made(
        folder, "".join(f"{one},{one},{one},{split},,,0\n" for one, split in zip(names, splits, strict=True)), *names
    )
    return "".join(found.side(name)[0] for name in names)


def test_a_set_that_names_no_validation_patient_has_the_sides_it_always_had(tmp_path: Path) -> None:
    """Published runs rest on them."""
    quarter = "ttltlttttttltltvtvtt"
    assert sides(tmp_path / "none", *[""] * 20) == quarter
    assert sides(tmp_path / "train", *["train"] * 20) == quarter
    assert sides(tmp_path / "half", *["train", ""] * 10) == quarter
    assert sides(tmp_path / "both", *["test", "train"] * 10) == "ltltltltltltltlvlvlt"
    assert sides(tmp_path / "locked", "locked", *["train"] * 5, *[""] * 14) == "l" + "tttttttttttttt" + "vtvtt"


def test_a_set_that_names_all_three_sides_has_these(tmp_path: Path) -> None:
    named = ["validation"] * 10 + ["test"] * 10 + ["train"] * 40
    assert sides(tmp_path / "set", *named) == "v" * 10 + "l" * 10 + "t" * 40


@pytest.mark.parametrize("rest", ["train", ""])
def test_named_validation_patients_stay_and_the_locked_are_taken_from_the_others(tmp_path: Path, rest: str) -> None:
    locked = sides(tmp_path / "nobody", *[""] * 60)
    found = sides(tmp_path / "set", *["validation"] * 20, *[rest] * 40)
    assert found == "v" * 20 + "".join("l" if side == "l" else "t" for side in locked[20:])
    assert 5 <= found.count("l") <= 15


def test_what_rests_on_a_set_whose_sides_were_changed_is_told_from_what_rests_on_this(tmp_path: Path) -> None:
    for split, same in (("train", True), ("validation", False)):
        digest = made(tmp_path, f"a,p,i,{split},1,1,0\n").digest
        assert (digest == hashlib.sha256((tmp_path / "candidates.csv").read_bytes()).hexdigest()) is same


# What is refused


def test_an_image_of_two_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotACandidateSet, match=r"candidates\.csv, line 3: image 'i' is of another patient"):
        made(tmp_path, "a,p,i,train,1,1,0\nb,q,i,test,2,2,1\n")


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "candidates.csv").write_text("candidate_id,patient_id,image_id,split,split\na,p,i,train,test\n")
    with pytest.raises(NotACandidateSet, match="the columns 'split' stand there twice"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("head", "row", "values"),
    [
        ("label,score", "1,0,85", 6),  # 0,85 was meant for one number, as some countries write it
        ("label,score", "1", 4),
        ("split,label", "train", 4),  # the file was cut short
        ("split,label", "train,1,", 6),
        ("x,y,label", "3", 4),
    ],
)
def test_a_row_with_values_too_many_or_too_few_is_refused(tmp_path: Path, head: str, row: str, values: int) -> None:
    made(tmp_path, "a,p,i,,1,1,0\n")
    text = f"candidate_id,patient_id,image_id,{head}\na,p,i{',' * len(head.split(','))}\n"
    (tmp_path / "candidates.csv").write_text(text)
    assert len(read(tmp_path).rows) == 1, "what is empty has its commas"
    columns = len(head.split(",")) + 3
    (tmp_path / "candidates.csv").write_text(f"{text}\nb,p,i,{row}")
    complaint = f"candidates.csv, line 4: {values} values, and there are {columns} columns"
    with pytest.raises(NotACandidateSet, match=complaint):
        read(tmp_path)


def test_columns_that_may_be_left_out_may_be_left_out(tmp_path: Path) -> None:
    made(tmp_path, "a,p,i,,1,1,0\n")
    (tmp_path / "candidates.csv").write_text("candidate_id,patient_id,image_id\na,p,i\n")
    (row,) = read(tmp_path).rows
    assert (row.x, row.y, row.label, row.score) == (None, None, None, None)


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


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u3000", "\u200b", "\ufeff"])
@pytest.mark.parametrize("column", ["candidate_id", "patient_id", "image_id"])
def test_a_blank_at_either_end_of_an_id_is_refused(tmp_path: Path, column: str, blank: str) -> None:
    """A patient with one would be another than without, and could stand on the other side."""
    names = ["candidate_id", "patient_id", "image_id"]
    for name in (f"p{blank}", f"{blank}p"):
        row = ",".join(name if one == column else one[0] for one in names)
        with pytest.raises(NotACandidateSet, match=f"line 3: {column} .* begins or ends with a blank"):
            made(tmp_path, f"p,p,p,test,1,1,0\n{row},train,2,2,1\n", "p")
    assert len(made(tmp_path, f"a{blank}b,a{blank}b,i,,1,1,0\n").rows) == 1


@pytest.mark.parametrize("column", ["candidate_id", "patient_id", "image_id"])
def test_one_name_in_two_spellings_is_refused(tmp_path: Path, column: str) -> None:
    names = ["candidate_id", "patient_id", "image_id"]
    spelt = ["M\u00fcller", "Mu\u0308ller"]
    first, second = (",".join(one if name == column else f"{name}{one == spelt[1]}" for name in names) for one in spelt)
    with pytest.raises(NotACandidateSet, match=rf"line 3: {column} 'Mu\\u0308ller' was spelt 'M\\xfcller' before"):
        made(tmp_path, f"{first},train,1,1,0\n{second},test,2,2,1\n")


@pytest.mark.parametrize("names", [("one ", "one"), ("\u00e9", "e\u0301")])
def test_one_lesion_in_two_spellings_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    made(tmp_path, "a,p,i,,1,1,0\n")
    rows = "".join(f"c{number},p,i,1,{name}\n" for number, name in enumerate(names))
    (tmp_path / "candidates.csv").write_text(f"candidate_id,patient_id,image_id,label,lesion_id\n{rows}", "utf-8")
    with pytest.raises(NotACandidateSet, match="lesion_id"):
        read(tmp_path)


def test_an_id_may_hold_any_letters(tmp_path: Path) -> None:
    assert made(tmp_path, "Läsion 7,患者　一,i,,1,1,0\n").rows[0].patient == "患者　一"
