"""Settings: the flag lies above the environment, the environment above the file, and no name is ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overread import config
from overread.core.errors import Misconfigured
from overread.core.splits import Split


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests."""
    import os  # noqa: PLC0415

    for name in list(os.environ):
        if name.upper().startswith("OVERREAD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_without_any_settings_everything_lies_in_one_folder(tmp_path: Path) -> None:
    settings = config.load()
    assert settings.data == tmp_path / "overread-data"
    assert settings.store_url == f"sqlite:///{tmp_path}/overread-data/overread.db"
    assert settings.blobs_url == f"{tmp_path}/overread-data/blobs"
    assert settings.registry_url == f"sqlite:///{tmp_path}/overread-data/mlflow.db"
    assert (settings.gateway.host, settings.review.host, settings.health_host) == ("127.0.0.1",) * 3


def test_the_flag_lies_above_the_environment_and_that_above_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "gateway: {port: 1, ae_title: FILE, host: 10.0.0.1}\napplication: polyp\n"
    file = write(tmp_path / "settings.yaml", text)
    assert config.load(file).gateway.port == 1
    monkeypatch.setenv("OVERREAD_GATEWAY__PORT", "2")
    monkeypatch.setenv("OVERREAD_GATEWAY__AE_TITLE", "ENVIRONMENT")
    monkeypatch.setenv("OVERREAD_APPLICATION", "lung-nodule")
    settings = config.load(file, gateway__port=3)
    assert settings.gateway.port == 3
    assert settings.gateway.ae_title == "ENVIRONMENT"
    assert settings.gateway.host == "10.0.0.1"
    assert settings.application == "lung-nodule"
    assert config.load(file, gateway__port=None).gateway.port == 2


def test_the_file_lies_in_the_data_directory_or_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "house").mkdir()
    write(tmp_path / "house" / "overread.yaml", "health_port: 7")
    assert config.load(data=tmp_path / "house").health_port == 7
    monkeypatch.setenv("OVERREAD_DATA", str(tmp_path / "house"))
    assert config.load().health_port == 7
    monkeypatch.setenv("OVERREAD_CONFIG", str(write(tmp_path / "other.yaml", "health_port: 8")))
    assert config.load().health_port == 8
    assert config.load(write(tmp_path / "third.yaml", "health_port: 9")).health_port == 9


@pytest.mark.parametrize("given", [{"gatewey__port": 1}, {"gateway__prot": 1}, {"dta": "x"}])
def test_a_misspelt_flag_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match=r"gatewey|gateway\.prot|dta"):
        config.load(**given)


@pytest.mark.parametrize("text", ["gatewey: {port: 1}", "gateway: {prot: 1}", "dta: x"])
def test_a_misspelt_name_in_the_file_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured, match="can't work"):
        config.load(write(tmp_path / "settings.yaml", text))


@pytest.mark.parametrize(
    "name",
    ["OVERREAD_GATEWEY__PORT", "OVERREAD_GATEWAY__PROT", "OVERREAD_DTA", "overread_dta", "OVERREAD_GATEWAY_PORT"],
)
def test_a_misspelt_name_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "104")
    with pytest.raises(Misconfigured) as caught:
        config.load()
    assert name.lower().removeprefix("overread_").replace("__", ".") in str(caught.value).lower().replace("__", ".")


def test_what_kubernetes_puts_into_the_environment_by_itself_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is called `overread-gateway` makes these in every pod beside it."""
    for name, value in {
        "OVERREAD_GATEWAY_SERVICE_HOST": "10.0.0.1",
        "OVERREAD_GATEWAY_SERVICE_PORT": "104",
        "OVERREAD_GATEWAY_SERVICE_PORT_DICOM": "104",
        "OVERREAD_GATEWAY_PORT": "tcp://10.0.0.1:104",
        "OVERREAD_GATEWAY_PORT_104_TCP": "tcp://10.0.0.1:104",
        "OVERREAD_GATEWAY_PORT_104_TCP_ADDR": "10.0.0.1",
        "OVERREAD_SUPERVISOR": "1",
        "OVERREAD_SHARED": "/work/shared",
    }.items():
        monkeypatch.setenv(name, value)
    assert config.load().gateway.port == 11112


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"gateway__port": 70000}, "gateway.port"),
        ({"gateway__port": "many"}, "gateway.port"),
        ({"gateway__ae_title": "A" * 17}, "gateway.ae_title"),
        ({"trainer__budget": 0}, "trainer.budget"),
        ({"inference__poll_seconds": 0}, "inference.poll_seconds"),
        ({"gateway__default_source": "guess"}, "gateway.default_source"),
    ],
)
def test_a_value_that_cannot_work_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(Misconfigured, match=named.replace(".", r"\.")):
        config.load(**given)


def test_every_fault_is_said_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        config.load(gateway__port=-1, trainer__budget=0)
    assert "gateway.port" in str(caught.value)
    assert "trainer.budget" in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "hospital.example", "127.0.0.1.example"])  # noqa: S104
def test_the_page_is_bound_to_this_machine_only(host: str) -> None:
    with pytest.raises(Misconfigured, match=r"review\.host"):
        config.load(review__host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_page_may_be_bound_to_the_loopback(host: str) -> None:
    assert config.load(review__host=host).review.host == host


@pytest.mark.parametrize("text", ["gateway: [", "- a\n- b\n", "a sentence", "\tgateway: 1", "gateway: 5"])
def test_a_file_that_is_no_settings_is_said_by_its_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured):
        config.load(write(tmp_path / "settings.yaml", text))


def test_an_empty_file_is_no_settings_at_all(tmp_path: Path) -> None:
    assert config.load(write(tmp_path / "settings.yaml", "")).gateway.port == 11112
    assert config.load(write(tmp_path / "settings.yaml", "# nothing yet\n")).gateway.port == 11112


def test_a_file_that_is_absent_or_a_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match=r"absent\.yaml"):
        config.load(tmp_path / "absent.yaml")
    with pytest.raises(Misconfigured, match=str(tmp_path)):
        config.load(tmp_path)
    monkeypatch.setenv("OVERREAD_CONFIG", str(tmp_path / "away.yaml"))
    with pytest.raises(Misconfigured, match=r"away\.yaml"):
        config.load()


def splits(tmp_path: Path, content: bytes) -> dict[str, Split]:
    path = tmp_path / "splits.csv"
    path.write_bytes(content)
    return config.load(splits=path).given_splits()


def test_splits_are_read(tmp_path: Path) -> None:
    assert config.load().given_splits() == {}
    content = b"patient_id,split,remark\nA,train,\nB,locked,x\nC,validation,\n"
    expected = {"A": Split.TRAIN, "B": Split.LOCKED, "C": Split.VALIDATION}
    assert splits(tmp_path, content) == expected
    assert splits(tmp_path, b"\xef\xbb\xbf" + content) == expected, "as a spreadsheet writes it"
    assert splits(tmp_path, b"patient_id,split\n") == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"patient,split\nA,train\n",
        b"patient_id\nA\n",
        b"patient_id,split\nA\n",
        b"patient_id,split\nA,test\n",
        b"patient_id,split\nA,TRAIN\n",
        b"patient_id,split\n\xff\xfe,train\n",
        b"patient_id,split\n,train\n",
    ],
)
def test_splits_that_cannot_be_read_are_said_with_their_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Misconfigured, match=r"splits\.csv.*patient_id,split"):
        splits(tmp_path, content)


def test_a_patient_with_two_splits_is_an_error(tmp_path: Path) -> None:
    """Whichever stood last would win, and a locked patient would teach."""
    with pytest.raises(Misconfigured, match="line 3"):
        splits(tmp_path, b"patient_id,split\nA,locked\nA,train\n")
    assert splits(tmp_path, b"patient_id,split\nA,locked\nA,locked\n") == {"A": Split.LOCKED}


def test_a_fault_in_the_splits_names_the_line_and_never_the_patient(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        splits(tmp_path, b"patient_id,split\nA,train\ntrain,NR-4711\n")
    assert "line 3" in str(caught.value)
    assert "4711" not in str(caught.value)


def test_absent_splits_are_said(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="absent"):
        config.load(splits=tmp_path / "absent.csv").given_splits()
