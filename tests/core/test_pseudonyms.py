from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from overread.core.errors import Misconfigured
from overread.core.pseudonyms import KEY_BYTES, Pseudonyms

KEY = bytes(range(32))


def test_they_are_the_same_for_ever() -> None:
    """Changing these breaks every database in the field."""
    names = Pseudonyms(KEY)
    assert names.patient("4711", "HOSPITAL") == "p-8c419a25297661dc67cf3d8d30cf7a03"
    assert names.study("1.2.3") == "s-13e79f24b48bc9fcfe1426b79b9bff45"
    assert names.series("1.2.3") == "e-e9dd73da9985575fbcce07698860cad0"
    assert names.instance("1.2.3") == "i-796ec30586e5ec69acd662e421cfebb4"
    assert names.candidate("s-1", "sr", "1.2.3", "4") == "c-93ce6b138be856609221dfe4de1789c3"
    assert names.share("split", "p-1") == 0.7450976895081418


def test_nothing_is_known_of_them_without_the_key() -> None:
    one, two = Pseudonyms(KEY), Pseudonyms(bytes(32))
    assert one.patient("4711") != two.patient("4711")
    assert one.share("split", "p-1") != two.share("split", "p-1")
    assert "4711" not in one.patient("4711")


def test_one_text_has_another_name_in_every_role() -> None:
    names = Pseudonyms(KEY)
    found = {names.patient("1"), names.study("1"), names.series("1"), names.instance("1"), names.candidate("1", "")}
    assert len({name[2:] for name in found}) == 5


def test_spaces_that_dicom_pads_with_do_not_make_another_patient() -> None:
    names = Pseudonyms(KEY)
    assert names.patient("4711 ") == names.patient("4711")
    assert names.patient("4711", "A") != names.patient("4711", "B")
    assert names.patient("47", "11A") != names.patient("4711", "A")


def test_a_share_lies_evenly_between_0_and_1() -> None:
    names = Pseudonyms(KEY)
    shares = [names.share("split", f"p-{number}") for number in range(4000)]
    assert all(0 <= share < 1 for share in shares)
    tenths = [sum(tenth <= share * 10 < tenth + 1 for share in shares) for tenth in range(10)]
    assert min(tenths) > 320
    assert max(tenths) < 480
    assert names.share("split", "p-1") != names.share("audit", "p-1")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(Misconfigured, match="31 bytes; it needs 32"):
        Pseudonyms(bytes(31))


def test_the_key_is_minted_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pseudonyms.key"
    first = Pseudonyms.from_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == KEY_BYTES
    assert Pseudonyms.from_file(path).patient("4711") == first.patient("4711")
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - with what the key's draft may leave behind


def test_rooms_that_start_together_share_one_key(tmp_path: Path) -> None:
    path, found = tmp_path / "pseudonyms.key", []
    barrier = threading.Barrier(2)

    def start() -> None:
        barrier.wait(5)
        found.append(Pseudonyms.from_file(path).patient("4711"))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 2
    assert len(set(found)) == 1
