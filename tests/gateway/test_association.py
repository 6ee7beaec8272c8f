"""The storage SCP on a real socket: pynetdicom's user side, and dcmtk's, which is nobody's of ours."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RawDataStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from sqlalchemy import select

from gateway.arrivals import ROOT, Gateway, arrival, dataset, encode
from overread import config, metrics
from overread.core.errors import Misconfigured
from overread.gateway.association import StorageScp
from overread.gateway.tables import gateway_instances

pytestmark = pytest.mark.network

Listen = Callable[..., StorageScp]


@pytest.fixture
def listen(gateway: Gateway) -> Iterator[Listen]:
    open_ = []

    def start(**settings: Any) -> StorageScp:
        scp = StorageScp(gateway.admission, config.Gateway(port=0, **settings))
        scp.start()
        open_.append(scp)
        return scp

    yield start
    for scp in open_:
        scp.close()


def associate(scp: StorageScp, *, called: str = "OVERREAD", calling: str = "MODALITY", contexts: Any = None) -> Any:
    user = AE(ae_title=calling)
    user.acse_timeout = user.dimse_timeout = user.network_timeout = 10
    for context in contexts or (Verification, CTImageStorage):
        user.add_requested_context(context, ExplicitVRLittleEndian)
    return user.associate("127.0.0.1", scp.port, ae_title=called)


def store(scp: StorageScp, *files: bytes, **how: Any) -> list[int]:
    association = associate(scp, **how)
    assert association.is_established
    found = []
    for number, content in enumerate(files):
        data = dcmread(pydicom_file(content))
        answer = association.send_c_store(data, msg_id=number + 1)
        found.append(int(answer.Status) if "Status" in answer else -1)
    association.release()
    return found


def pydicom_file(content: bytes) -> Any:
    from io import BytesIO  # noqa: PLC0415

    return BytesIO(content)


def test_echo_is_answered_and_the_association_is_counted_out_again(listen: Listen) -> None:
    scp = listen()
    before = metrics.associations._value.get()
    association = associate(scp)
    assert association.send_c_echo().Status == 0
    association.release()
    for _ in range(100):
        if metrics.associations._value.get() == before:
            break
        threading.Event().wait(0.05)
    assert metrics.associations._value.get() == before


def test_an_instance_is_stored_with_the_senders_name_and_its_own_status(listen: Listen, gateway: Gateway) -> None:
    scp = listen()
    sent = [
        encode(dataset(1)),
        encode(dataset(1)),
        encode(dataset(1, Rows=2)),
        encode(dataset(2, PatientID="")),
        encode(dataset(3)),
    ]
    assert store(scp, *sent) == [0x0000, 0x0000, 0x0111, 0xA900, 0x0000]
    with gateway.store.reading() as tx:
        rows = tx.execute(select(gateway_instances).order_by(gateway_instances.c.sop_uid)).all()
    assert [(row.sop_uid, row.site) for row in rows] == [
        (f"{ROOT}.1.1", "MODALITY"),
        (f"{ROOT}.1.3", "MODALITY"),
    ]
    kept = dcmread(pydicom_file(gateway.blobs.get(rows[0].blob)))
    assert kept.PatientID == "patient-1"
    assert kept.PixelData == bytes(32)
    assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_absurd_uid_in_command_and_data_set_is_refused_and_the_gateway_goes_on(
    listen: Listen, gateway: Gateway
) -> None:
    scp = listen()
    data = dataset(1)
    data.file_meta = dcmread(pydicom_file(encode(dataset(1)))).file_meta
    data.SOPInstanceUID = "../../../etc/passwd"
    association = associate(scp)
    with pytest.MonkeyPatch.context() as patch:  # our user side must not be the one that refuses
        from pynetdicom import _config  # noqa: PLC0415

        patch.setattr(_config, "ENFORCE_UID_CONFORMANCE", False)
        answer = association.send_c_store(data)
    assert "Status" not in answer or answer.Status != 0
    association.abort()
    assert gateway.count(gateway_instances) == 0
    assert gateway.files() == []
    assert store(scp, encode(dataset(2))) == [0]


def test_who_calls_another_ae_title_is_refused(listen: Listen) -> None:
    association = associate(listen(), called="ELSEWHERE")
    assert association.is_rejected


def test_only_listed_peers_may_associate(listen: Listen) -> None:
    scp = listen(peers={"CT1": "auto", "CT2": "sr"})
    assert associate(scp, calling="STRANGER").is_rejected
    for peer in ("CT1", "CT2"):
        association = associate(scp, calling=peer)
        assert association.is_established
        association.release()


def test_a_class_that_is_not_taken_is_refused_by_its_context_and_the_others_go_on(listen: Listen) -> None:
    scp = listen()
    association = associate(scp, contexts=(RawDataStorage, CTImageStorage))
    assert [str(context.abstract_syntax) for context in association.accepted_contexts] == [CTImageStorage]
    assert [str(context.abstract_syntax) for context in association.rejected_contexts] == [RawDataStorage]
    association.release()
    alone = associate(scp, contexts=(RawDataStorage,))
    assert not alone.is_established


def test_a_peer_that_sends_noise_and_one_that_hangs_up_disturb_nobody(listen: Listen) -> None:
    scp = listen()
    with socket.create_connection(("127.0.0.1", scp.port)) as noise:
        noise.sendall(bytes(range(256)))
    with socket.create_connection(("127.0.0.1", scp.port)) as polite:
        polite.sendall(b"\x01\x00\x00\x00\x00\xff")
    association = associate(scp)
    association.abort()
    assert store(scp, encode(dataset(1))) == [0]


def test_a_port_that_is_taken_is_said_with_the_setting_that_mends_it(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        scp = StorageScp(gateway.admission, config.Gateway(port=taken.getsockname()[1]))
        with pytest.raises(Misconfigured, match="OVERREAD_GATEWAY__PORT"):
            scp.start()


@pytest.mark.part("dcmtk")
def test_dcmtk_echoes_and_stores_and_is_told_what_was_refused(listen: Listen, gateway: Gateway, tmp_path: Path) -> None:
    scp = listen()

    def dcmtk(command: str, *arguments: str, called: str = "OVERREAD") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, "-v", "-aec", called, "-aet", "DCMTK", "127.0.0.1", str(scp.port), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    assert dcmtk("echoscu").returncode == 0
    assert dcmtk("echoscu", called="WRONG").returncode != 0
    good, twisted = tmp_path / "good.dcm", tmp_path / "twisted.dcm"
    good.write_bytes(arrival(1).content)
    assert dcmtk("storescu", str(good)).returncode == 0
    assert dcmtk("storescu", str(good)).returncode == 0
    twisted.write_bytes(arrival(1, Rows=2).content)
    said = dcmtk("storescu", str(twisted))
    assert "0x111" in said.stdout + said.stderr
    with gateway.store.reading() as tx:
        (row,) = tx.execute(select(gateway_instances)).all()
    assert row.site == "DCMTK"
    assert dcmread(pydicom_file(gateway.blobs.get(row.blob))).PatientID == "patient-1"
