"""The storage SCP: who may associate, and how a request becomes an answer (PS3.7, PS3.4 annex B)."""

from __future__ import annotations

import logging
from typing import Any

from pynetdicom import AE, evt
from pynetdicom import _config as pynetdicom_config

from overread import metrics
from overread.config import Gateway
from overread.core.errors import Misconfigured, Refused
from overread.gateway.admission import SUCCESS, Admission, Arrival
from overread.pacs.dimse import MAXIMUM_PDU, presentation_contexts, send_at_once

log = logging.getLogger(__name__)

NETWORK_SECONDS = 60
"""A peer that says nothing for this long is let go."""


class StorageScp:
    """Listens from `start` until `close`; `port` is the one bound (of use where the setting is 0)."""

    def __init__(self, admission: Admission, settings: Gateway) -> None:
        self._admission, self._settings = admission, settings
        self._server: Any = None

    def start(self) -> None:
        """Bind and listen.

        Raises:
            Misconfigured: the port is taken or not ours to bind.
        """
        settings = self._settings
        pynetdicom_config.ENFORCE_UID_CONFORMANCE = True
        entity = AE(ae_title=settings.ae_title)
        entity.supported_contexts = presentation_contexts()
        entity.require_called_aet = True
        entity.require_calling_aet = sorted(settings.peers)  # empty: anybody
        entity.maximum_associations = settings.maximum_associations
        entity.maximum_pdu_size = MAXIMUM_PDU
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = NETWORK_SECONDS
        handlers = [
            (evt.EVT_CONN_OPEN, send_at_once),
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_ESTABLISHED, lambda _event: metrics.associations.inc()),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        try:
            self._server = entity.start_server((settings.host, settings.port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise Misconfigured(
                f"gateway: {settings.host}:{settings.port} can't be bound ({error.strerror}); "
                "stop what listens there or set OVERREAD_GATEWAY__PORT"
            ) from error

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop accepting, then let go of every association."""
        self._server.shutdown()

    @staticmethod
    def _closed(event: Any) -> None:
        if event.assoc.is_established or event.assoc.is_released or event.assoc.is_aborted:
            metrics.associations.dec()

    def _store(self, event: Any) -> int:
        """Answer one C-STORE. What is not foreseen here pynetdicom answers with 0xC211 and the association goes on."""
        request = event.request
        arrival = Arrival(
            content=event.encoded_dataset(),
            sop_class=str(request.AffectedSOPClassUID),
            sop_instance=str(request.AffectedSOPInstanceUID),
            calling_ae=event.assoc.requestor.ae_title.strip(),
        )
        status = SUCCESS
        try:
            self._admission.admit(arrival)
        except Refused as error:
            status = error.status
            log.warning("instance refused", extra={"status": f"0x{status:04X}", "reason": str(error)})
        metrics.instances.labels(f"0x{status:04X}").inc()
        return status
