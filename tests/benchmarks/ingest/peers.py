"""Others that bring the same values from the same broker into the same server, each as its users run it.

What they take and what becomes of it differs, and is said with each figure:

* ``esphome-mqtt-timescaledb-ingestor`` (PyPI) takes one value per message and writes at most a hundred of them a
  second (a hundred, then a sleep of one). A number as text is valid JSON, which it takes for a document and drops;
  values are sent with leading zeros, which are no JSON.
* ``mosquitto_sub | psql COPY`` takes the plain JSON form of our batches as lines of text. The values are in columns
  only after a second statement has taken the text apart; both are timed. It neither checks nor acknowledges, and
  stores what comes twice, twice.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from telemetry.wire import encode_readings
from tests.benchmarks.ingest.corpus import Fleet
from tests.benchmarks.ingest.site import Site, forget, mqtt, publish
from wearcast.embedded.apt import PrivateApt
from wearcast.embedded.paths import cache_root, locked, make_folder, write_private
from wearcast.embedded.processes import ManagedProcess

INGESTOR: Final = "esphome-mqtt-timescaledb-ingestor==0.3.0"
_INGESTOR_SECONDS: Final = 15.0
_DEBIAN: Final = ("mosquitto-clients", "postgresql-client-17")


@dataclass(frozen=True, kw_only=True)
class Programs:
    """What the peers consist of."""

    mosquitto_sub: tuple[str, ...]
    psql: tuple[str, ...]
    ingestor: tuple[str, ...]


def programs(folder: Path) -> Programs:
    """Fetch them: Debian's into the cache, the Python package into an environment of its own, as it wants old ones."""
    root = _debian_root()
    loader = next(iter(sorted(root.glob("usr/lib/*/ld-linux-*.so.*"))))

    def program(path: str) -> tuple[str, ...]:
        return (str(loader), "--library-path", str(loader.parent), str(root / path))

    python = folder / "ingestor" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "ingestor"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", INGESTOR], check=True)
    return Programs(
        mosquitto_sub=program("usr/bin/mosquitto_sub"),
        psql=program("usr/lib/postgresql/17/bin/psql"),
        ingestor=(str(python), "-m", "esphome_mqtt_timescaledb_ingestor.ingestor"),
    )


def _debian_root() -> Path:
    home = make_folder(cache_root() / "bench-peers", private=False)
    root, complete = home / "root", home / "complete"
    with locked(home / "lock"):
        if not complete.is_file():
            shutil.rmtree(root, ignore_errors=True)
            apt = PrivateApt(make_folder(home / "apt", private=False))
            apt.update()
            packages = apt.resolve(_DEBIAN, follow=lambda name: name.startswith(("lib", "zlib")))
            apt.unpack(apt.download(packages), root)
            complete.touch()
    return root


def ingestor(place: Site, command: Sequence[str], fleet: Fleet) -> float:
    """Values a second that the ingestor stores of those published while it runs, for some seconds."""
    home = place.folder / "ingestor-home"
    settings = home / ".esphome-ingestor" / "ingestor_config.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    broker = {"host": place.broker.host, "port": place.broker.port, "username": "bench", "password": "bench"}
    settings.write_text(json.dumps({"database": conninfo_to_dict(place.database.url), "mqtt": broker}))
    place.connection.execute("DROP TABLE IF EXISTS esphome_data")
    process = ManagedProcess.start(
        [*command, "start"],
        name="The ingestor",
        log_path=place.folder / "ingestor.log",
        env={"HOME": str(home), "PYTHONUNBUFFERED": "1"},
    )
    try:
        process.wait_for_line("subscribed to topics")
        process.wait_for_line("tables are ready")
        with mqtt(place.broker, "bench-devices") as devices:
            begun = time.perf_counter()
            publish(devices, _single_values(fleet))
            time.sleep(max(0.0, _INGESTOR_SECONDS - (time.perf_counter() - begun)))
        stored = place.connection.execute("SELECT count(*) FROM esphome_data").fetchone()
        seconds = time.perf_counter() - begun
    finally:
        process.stop()
    assert stored is not None
    return float(stored[0]) / seconds


def _single_values(fleet: Fleet) -> list[tuple[str, bytes]]:
    return [
        (f"{batch.key.device}/sensor/{signal.column}/state", b"%+012.3f" % sample.values[signal.path])
        for batch in fleet.all_batches[: fleet.devices]
        for sample in batch.samples[:2]
        for signal in fleet.columns
    ]


def shell(place: Site, tools: Programs, fleet: Fleet) -> tuple[float, float]:
    """Seconds until the batches' text is in a table, and until their values are in columns."""
    place.empty()
    place.connection.execute("DROP TABLE IF EXISTS landing")
    place.connection.execute("CREATE TABLE landing (topic text, body jsonb)")
    subscribe = [*tools.mosquitto_sub, "-h", place.broker.host, "-p", str(place.broker.port), "-q", "1"]
    subscribe += ["-i", "bench-shell", "-c", "-t", "wearcast/v1/+/readings"]
    subprocess.run([*subscribe, "-E"], check=True)  # its session: from now on messages wait for it
    with mqtt(place.broker, "bench-devices") as devices:
        publish(devices, [(topic, body) for topic, body in plain(fleet)])
    begun = time.perf_counter()
    with subprocess.Popen(
        [*subscribe, "-C", str(fleet.messages), "-F", r"%t\t%p"], stdout=subprocess.PIPE
    ) as subscriber:
        subprocess.run(
            [*tools.psql, "-q", "-c", "COPY landing FROM STDIN"],
            stdin=subscriber.stdout,
            check=True,
            env={**os.environ, "PGSERVICEFILE": str(_service_file(place)), "PGSERVICE": "bench"},
        )
    landed = time.perf_counter() - begun
    forget(place.broker, "bench-shell")
    values = ", ".join(f"(sample->'values'->>'{signal.path}')::real" for signal in fleet.columns)
    columns = ", ".join(signal.column for signal in fleet.columns)
    place.connection.execute(
        f"INSERT INTO reading (time, vehicle_id, {columns}) "  # noqa: S608 - of the catalogue
        f"SELECT (sample->>'time')::timestamptz, vehicle_id, {values} FROM landing "
        "JOIN device ON device.id = split_part(topic, '/', 3), jsonb_array_elements(body->'samples') AS sample"
    )
    seconds = time.perf_counter() - begun
    assert place.stored_values(fleet) == fleet.values
    return landed, seconds


def _service_file(place: Site) -> Path:
    """The address with its password in a file: arguments can be read by everybody on the machine."""
    path = place.folder / "pg_service.conf"
    lines = [f"{key}={value}" for key, value in conninfo_to_dict(place.database.url).items()]
    write_private(path, "\n".join(["[bench]", *lines, ""]))
    return path


def plain(fleet: Fleet) -> list[tuple[str, bytes]]:
    """Topic and payload of each batch in the plain JSON form."""
    return [
        (topic, encode_readings(batch, "json"))
        for (topic, _), batch in zip(fleet.compact, fleet.all_batches, strict=True)
    ]
