from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, evt

from overread.core.errors import PacsUnavailable
from overread.pacs import dimse

Serve = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an SCP that keeps SOP UIDs; `answer` decides on a status or drops the association by None."""
    servers: list[Any] = []

    def start(answer: Callable[[int], int | None] = lambda _n: 0) -> tuple[int, list[str]]:
        kept: list[str] = []
        count = 0

        def store(event: Any) -> int:
            nonlocal count
            count += 1
            status = answer(count)
            if status is None:
                event.assoc.abort()
                return 0xA700
            if status == 0:
                kept.append(str(event.request.AffectedSOPInstanceUID))
            return status

        entity = AE(ae_title="HERE")
        entity.supported_contexts = dimse.presentation_contexts()
        entity.require_called_aet = True
        handlers = [(evt.EVT_C_STORE, store), (evt.EVT_C_ECHO, lambda _event: 0)]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        servers.append(server)
        return int(server.server_address[1]), kept

    yield start
    for server in servers:
        server.shutdown()


def files(folder: Path, count: int, sop_class: str = CTImageStorage) -> list[Path]:
    paths = []
    for number in range(count):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"1.2.{number + 1}"
        dataset.PixelData = np.zeros(1000, np.uint8).tobytes()
        dataset["PixelData"].VR = "OB"
        path = folder / f"{number}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def test_the_contexts_fit_one_association() -> None:
    contexts = dimse.presentation_contexts()
    assert len(contexts) <= dimse.MAXIMUM_CONTEXTS
    assert len({str(context.abstract_syntax) for context in contexts}) == len(contexts)
    for context in contexts:
        assert str(context.abstract_syntax) not in {"", None}
        assert "1.2.840.10008.1.2.1.99" not in map(str, context.transfer_syntax)  # deflated


@pytest.mark.network
def test_echo(serve: Serve) -> None:
    port, _ = serve()
    dimse.echo("127.0.0.1", port, called="HERE", calling="US")
    with pytest.raises(PacsUnavailable, match="refused the association"):
        dimse.echo("127.0.0.1", port, called="ELSEWHERE", calling="US")


@pytest.mark.network
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves the socket to the GC
def test_nobody_there() -> None:
    with pytest.raises(PacsUnavailable, match="does not answer"):
        dimse.echo("127.0.0.1", 1, called="HERE", calling="US")
    gc.collect()


@pytest.mark.network
def test_every_file_is_sent_and_answered_in_order(serve: Serve, tmp_path: Path) -> None:
    port, kept = serve()
    seen: list[dimse.Sent] = []
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"x" * 500)
    paths = files(tmp_path, 5)
    report = dimse.send([*paths, garbage], "127.0.0.1", port, called="HERE", calling="US", on_sent=seen.append)
    assert kept == [f"1.2.{n + 1}" for n in range(5)] == [one.sop_uid for one in seen]
    assert [one.file for one in report.sent] == paths
    assert (report.stored, report.unreadable) == (5, (garbage,))
    assert report.refused == [{"status": "no DICOM file", "instances": 1}]


@pytest.mark.network
def test_refusals_are_kept_by_status(serve: Serve, tmp_path: Path) -> None:
    port, _ = serve(lambda n: 0xA700 if n == 2 else 0)
    report = dimse.send(files(tmp_path, 3), "127.0.0.1", port, called="HERE", calling="US")
    assert [one.status for one in report.sent] == [0, 0xA700, 0]
    assert report.refused == [{"status": "0xA700", "instances": 1}]


@pytest.mark.network
def test_what_had_no_answer_is_sent_again(serve: Serve, tmp_path: Path) -> None:
    port, kept = serve(lambda n: None if n in {2, 3} else 0)
    report = dimse.send(files(tmp_path, 4), "127.0.0.1", port, called="HERE", calling="US")
    assert sorted(set(kept)) == [f"1.2.{n + 1}" for n in range(4)]
    assert report.stored == 4


@pytest.mark.network
def test_a_peer_that_always_drops_ends_in_a_clear_error(serve: Serve, tmp_path: Path) -> None:
    port, _ = serve(lambda _n: None)
    with pytest.raises(PacsUnavailable, match="look at its log and send again"):
        dimse.send(files(tmp_path, 2), "127.0.0.1", port, called="HERE", calling="US", attempts=2)


@pytest.mark.network
def test_a_class_that_the_peer_does_not_know_is_reported_not_sent(serve: Serve, tmp_path: Path) -> None:
    port, kept = serve()
    unknown = "1.2.840.10008.5.1.4.1.1.66.4"  # segmentation
    (tmp_path / "a").mkdir()
    paths = [*files(tmp_path / "a", 1, unknown), *files(tmp_path, 1, MRImageStorage)]
    report = dimse.send(paths, "127.0.0.1", port, called="HERE", calling="US")
    assert [one.status for one in report.sent] == [dimse.NO_CONTEXT, 0]
    assert kept == ["1.2.1"]
