"""Kafka's console tools, as a distribution has them in bin/."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from overread.simulation.broker_jars import VERSION, libraries

CLASSES = {
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
}
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scripts of those names; fetches what they are made of (0.5 MiB) beside the broker's jars."""
    jars = libraries()
    more = jars.with_name(f"kafka-tools-{VERSION}")
    if not more.is_dir():
        artifact = f"-Dartifact=org.apache.kafka:kafka-tools:{VERSION}"
        command = ["mvn", "-B", "-ntp", "-q", COPY, artifact, f"-DoutputDirectory={more}"]
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path_factory.mktemp("maven"))
    folder = tmp_path_factory.mktemp("bin")
    for name, main in CLASSES.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec java -Xmx128m -cp "{jars}/*:{more}/*" {main} "$@"\n')
        script.chmod(0o755)
    return folder
