"""What a Kafka broker is made of: jars of Apache's (44 MiB), fetched once by Maven, kept in the user's cache.

Nothing but Java and Maven is needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from overread.core.errors import BusUnavailable, Misconfigured

VERSION = "4.3.1"
"""Of Apache Kafka; `kafka/pom.xml` names the same."""
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
POM = files("overread.simulation") / "kafka" / "pom.xml"


def libraries() -> Path:
    """Return the folder of the broker's jars; fetch them where it is not there yet.

    Raises:
        Misconfigured: Java or Maven is absent.
        BusUnavailable: Maven could not fetch; the end of what it said stands in the message.
    """
    _need("java")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overread"
    jars = cache / f"kafka-{VERSION}"
    if jars.is_dir():
        return jars
    _need("mvn")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        (Path(scratch) / "pom.xml").write_text(POM.read_text())
        command = ["mvn", "-B", "-ntp", "-q", COPY, "-DoutputDirectory=jars", "-DincludeScope=runtime"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise BusUnavailable(f"kafka: Maven could not fetch the broker: {(done.stdout + done.stderr)[-2000:]}")
        with contextlib.suppress(OSError):  # another process was quicker
            (Path(scratch) / "jars").rename(jars)
    return jars


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise Misconfigured(f"kafka: {program} is not installed; `make parts` installs it")
