"""A patient's name and number reach neither a log nor the bus, whatever is sent and however broken."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from sqlalchemy import select

from gateway.arrivals import ROOT, Gateway, dataset, encode
from overread import logs
from overread.core.errors import Refused
from overread.gateway.admission import Arrival
from overread.store.tables import outbox

NAME, NUMBER = "Mustermann^Erika", "NR-4711-0815"
TELLING = ("Mustermann", "Erika", NUMBER)


def telling(**values: Any) -> bytes:
    """An instance that names its patient in every attribute that a person could have typed into."""
    said = {
        "PatientName": NAME,
        "PatientID": NUMBER,
        "AccessionNumber": "Erika",
        "StudyDescription": f"control of {NAME}",
        "InstitutionName": NAME,
        **values,
    }
    return encode(dataset(1, **said))


def variants() -> dict[str, bytes]:
    whole = telling()
    name = whole.index(b"Mustermann")
    return {
        "whole": whole,
        "name as modality": telling(Modality="Mustermann"),
        "name as study": telling(StudyInstanceUID="Mustermann"),
        "name as series": telling(SeriesInstanceUID=NUMBER),
        "two numbers": telling(PatientID=f"{NUMBER}\\Erika"),
        "a number that is too long": telling(PatientID=NUMBER * 8),
        "no PatientID": telling(PatientID=""),
        "cut off in the name": whole[: name + 12],
        "length of the name broken": whole[: name - 2] + b"\xff\xff" + whole[name:],
        "unknown character set": telling(SpecificCharacterSet="Mustermann"),
        "name before everything": NAME.encode() + whole,
        "meta broken": whole[:140] + NAME.encode() + whole[150:],
    }


def bus(gateway: Gateway) -> str:
    with gateway.store.reading() as tx:
        rows = tx.execute(select(outbox)).all()
    return " ".join(f"{row.key} {row.value!r} {row.headers}" for row in rows)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("variant", variants())
def test_neither_log_nor_bus_names_the_patient(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, variant: str
) -> None:
    """Ours at every level; what the DICOM libraries say is the next test's."""
    with caplog.at_level(logging.DEBUG, "overread"):
        try:
            gateway.admit(Arrival(variants()[variant], CTImageStorage, f"{ROOT}.1.1", "MODALITY"))
        except Refused as error:
            logging.getLogger("overread").warning("refused: %s", error)
    ours = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("overread"))
    for word in TELLING:
        assert word not in ours
        assert word not in bus(gateway)
    assert variant != "whole" or NUMBER.encode() in variants()[variant], "the test itself could not fail"


SERVE = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from overread import config, house, logs
    from gateway.arrivals import Gateway
    from overread.gateway.association import StorageScp
    from overread.store.engine import Store, metadata
    logs.configure("gateway", "debug")
    house.declare_tables()
    store = Store("sqlite:///{folder}/overread.db")
    metadata.create_all(store.engine)
    gateway = Gateway(store, Path({folder!r}))
    scp = StorageScp(gateway.admission, config.Gateway(port=0))
    scp.start()
    print(scp.port, flush=True)
    sys.stdin.read()
    scp.close()
"""


@pytest.mark.network
def test_standard_error_of_the_gateway_is_json_and_names_nobody(tmp_path: Path) -> None:
    """The real process: logging as it is configured there, Python's own warnings and tracebacks included."""
    from pynetdicom import AE  # noqa: PLC0415
    from pynetdicom.dimse_primitives import C_STORE  # noqa: PLC0415

    script = textwrap.dedent(SERVE).format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())
    answers = {}
    for name, content in variants().items():
        user = AE(ae_title="MODALITY")
        user.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        association = user.associate("127.0.0.1", port, ae_title="OVERREAD")
        assert association.is_established, name
        request = C_STORE()  # as it stands, without a data set that our own side would parse
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, f"{ROOT}.1.1"
        start = content.find(b"\x08\x00\x16\x00UI")
        request.DataSet = BytesIO(content[max(start, 0) :])
        association._reactor_checkpoint.clear()  # the answer is ours, as in send_c_store
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, response = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        answers[name] = None if response is None else int(response.Status)
        association.release()
    _, said = process.communicate("", timeout=30)
    assert answers["whole"] == 0
    assert answers["cut off in the name"] in {0xA900, 0xC000, 0x0111}
    assert None not in answers.values(), answers
    for word in TELLING:
        assert word not in said
    for line in said.splitlines():
        assert json.loads(line)["room"] == "gateway"
    assert len(said.splitlines()) >= len(variants()) - 4


def test_a_traceback_of_somebody_elses_error_keeps_its_words_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    try:
        logs.configure("gateway", "debug")
        try:
            int(NAME)
        except ValueError:
            logging.getLogger("overread.gateway").exception("handler failed")
            logging.getLogger("pynetdicom.events").exception("quoting %s", NUMBER)
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert len(lines) == 2
        assert not any(word in json.dumps(lines) for word in TELLING)
        assert "ValueError" in lines[0]["exception"]
    finally:
        logging.basicConfig(level=level, handlers=before, force=True)
