"""Pseudonyms: the only names of patients, studies and images outside the gateway.

Every identifier is replaced by HMAC-SHA-256 under the site's key, cut to 128 bits, with a letter that says what it
names. Without the key nobody can go back; with it the PACS's own UIDs can be looked up (`overread purge`, the simulated
reader).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from uuid import uuid4

from overread.core.errors import Misconfigured

KEY_BYTES = 32


class Pseudonyms:
    """Keyed names for one site. All methods are pure: the same input and key give the same pseudonym."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise Misconfigured(f"the pseudonym key has {len(key)} bytes; it needs {KEY_BYTES} or more")
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> Pseudonyms:
        """Read the key, or mint one (mode 0600) where the file does not exist yet."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{uuid4().hex}")  # a process number will not do: in containers all are 1
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(os.urandom(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:  # link, not rename: of two processes that start together, the first one's key stands
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return cls(path.read_bytes())

    def _mint(self, letter: str, *parts: object) -> str:
        text = "\x1f".join(str(part) for part in parts)
        digest = hmac.new(self._key, f"{letter}\x1e{text}".encode(), hashlib.sha256).hexdigest()
        return f"{letter}-{digest[:32]}"

    def patient(self, patient_id: str, issuer: str = "") -> str:
        """`p-…` from PatientID (0010,0020) and its issuer (0010,0021)."""
        return self._mint("p", patient_id.strip(), issuer.strip())

    def study(self, uid: str) -> str:
        """`s-…` from the Study Instance UID."""
        return self._mint("s", uid)

    def series(self, uid: str) -> str:
        """`e-…` from the Series Instance UID."""
        return self._mint("e", uid)

    def instance(self, uid: str) -> str:
        """`i-…` from the SOP Instance UID."""
        return self._mint("i", uid)

    def candidate(self, study: str, source: str, *place: object) -> str:
        """`c-…`; place is (SR SOP UID, tracking UID), or (generator, version, SOP UID, position)."""
        return self._mint("c", study, source, *place)

    def share(self, purpose: str, pseudonym: str) -> float:
        """A number in [0, 1) that is fixed for this pseudonym and purpose: splits, samples, random orders."""
        digest = hmac.new(self._key, f"share\x1e{purpose}\x1f{pseudonym}".encode(), hashlib.sha256).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
