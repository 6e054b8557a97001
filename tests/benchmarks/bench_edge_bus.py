"""CPU of listening to a full bus: 4,000 frames a second of a real car, of which four messages are wanted.

The recording of a Toyota (both of its buses, 125 identifiers) is looped at 4,000 frames/s, what 500 kbit/s carries.
There is no kernel CAN in a test environment, so the reader gets the same bytes by the same system call from a pair of
datagram sockets: once every frame, as if the kernel filtered nothing, once those the kernel's filters would let
through. What the transport itself costs is measured beside it by reading and throwing away. Through python-can, as for
adapters that are no network interface, the frames go over udp_multicast. CPU is that of the reading process alone, user
and system.
"""

import gzip
import json
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import can

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.sources.broadcast import BroadcastSource
from edge_agent.sources.broadcast_cache import cached_layouts
from edge_agent.sources.broadcast_frames import FrameFilter, Frames, PythonCanFrames, SocketCanFrames
from edge_agent.sources.broadcast_layout import EXTENDED, MessageLayout
from edge_agent.sources.broadcast_listener import SignalListener
from edge_agent.sources.broadcast_mapping import CanMapping
from tests.benchmarks.bench_row import ROOT, SHARED, Row, row

LOG: Final = SHARED / "can" / "toyota_2017_60s.log.gz"
FRAMES_PER_SECOND: Final = 4000
SECONDS: Final = 15.0
GOAL_PERCENT: Final = 10.0
MULTICAST: Final = CanBusConfig(interface="udp_multicast", channel="239.74.163.93", options={"port": 45093})
MAPPINGS: Final = (
    CanMapping(message="SPEED", signal="SPEED", path="Vehicle.Speed"),
    CanMapping(message="ENGINE_RPM", signal="RPM", path="Vehicle.Powertrain.CombustionEngine.Speed"),
    CanMapping(message="PCM_CRUISE_2", signal="BRAKE_PRESSED", path="Vehicle.Chassis.Brake.PedalPosition", factor=100),
    CanMapping(message="UI_SETTING", signal="ODOMETER", path="Vehicle.TraveledDistance", factor=1000),
)
_NAP_S: Final = 0.02  # as the source has it: the transport's part is read at the same pace


def recorded() -> list[tuple[int, bytes]]:
    """Key and data of all frames of the recording."""
    frames = []
    with gzip.open(LOG, "rt", encoding="ascii") as log:
        for line in log:
            identifier, _, data = line.split()[2].partition("#")
            key = int(identifier, 16) | (EXTENDED if len(identifier) > 3 else 0)
            frames.append((key, bytes.fromhex(data)))
    return frames


def toyota() -> Path:
    """The DBC of that car, as opendbc has it."""
    import opendbc

    return Path(opendbc.__file__).parent / "dbc" / "generator" / "toyota" / "_toyota_2017.dbc"


def cpu_seconds() -> float:
    """Of this process until now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# The reading process


def source_cpu(open_frames: Callable[[tuple[FrameFilter, ...]], Frames]) -> tuple[float, int, int]:
    """Seconds of CPU, frames and values while the agent's source listens for the time of the benchmark."""
    layouts = cached_layouts(toyota(), MAPPINGS, Path(sys.argv[3]))
    source = BroadcastSource(
        MULTICAST, (SignalListener(layouts, period_s=1.0),), open_frames=lambda _bus, filters: open_frames(filters)
    )
    source.open()
    values = 0
    begun, until = cpu_seconds(), time.monotonic() + SECONDS
    while time.monotonic() < until:
        reading = source.poll()
        assert reading is not None
        values += len(reading.values)
    used = cpu_seconds() - begun
    frames = source.activity().frames
    source.close()
    return used, frames, values


def transport_cpu(receive: Callable[[], object]) -> tuple[float, int, int]:
    """Seconds of CPU and frames while everything is taken and thrown away; ``receive`` gives None when it is empty."""
    frames = 0
    begun, until = cpu_seconds(), time.monotonic() + SECONDS
    while time.monotonic() < until:
        while receive() is not None:
            frames += 1
        time.sleep(_NAP_S)
    return cpu_seconds() - begun, frames, 0


def read(way: str, descriptor: int) -> tuple[float, int, int]:
    """What the reading process does, by name of the way."""
    if way == "python-can":
        return source_cpu(lambda filters: PythonCanFrames(open_can_bus(MULTICAST), filters, name=way))
    if way == "python-can thrown away":
        with open_can_bus(MULTICAST) as bus:
            return transport_cpu(lambda: bus.recv(0))
    link = socket.socket(fileno=descriptor)
    if way == "socket":
        return source_cpu(lambda filters: SocketCanFrames(link, filters, name=way, counter=None))
    link.setblocking(False)

    def receive() -> bytes | None:
        try:
            return link.recv(72)
        except BlockingIOError:
            return None

    return transport_cpu(receive)


# The sending process


def paced(send: Callable[[Any], None], frames: Iterator[Any], seconds: float) -> None:
    """Send at the bus's pace; None stands for a frame that the filters would keep back."""
    begun = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - begun) < seconds:
        for _ in range(int(passed * FRAMES_PER_SECOND) - sent):
            frame = next(frames)
            sent += 1
            if frame is not None:
                send(frame)
        time.sleep(0.001)


@contextmanager
def reading(way: str, folder: Path, link: socket.socket | None) -> Iterator[subprocess.Popen[str]]:
    """The reading process."""
    descriptor = -1 if link is None else link.fileno()
    arguments = [sys.executable, "-m", __spec__.name, way, str(descriptor), str(folder)]
    with subprocess.Popen(
        arguments, pass_fds=[] if link is None else [descriptor], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        yield process


def measured(
    way: str, folder: Path, frames: list[tuple[int, bytes]], wanted: frozenset[int] | None
) -> dict[str, float]:
    """CPU percent, frames/s and values of one way; ``wanted``: keys that the kernel would let through."""
    if way.startswith("python-can"):
        messages = [
            can.Message(arbitration_id=key & ~EXTENDED, is_extended_id=bool(key & EXTENDED), data=data)
            for key, data in frames
        ]
        with open_can_bus(MULTICAST) as bus, reading(way, folder, None) as process:
            paced(bus.send, cycle(messages), SECONDS + 3.0)
            return _result(process)
    raw = [
        struct.pack("=IB3x8s", key, len(data), data) if wanted is None or key in wanted else None
        for key, data in frames
    ]
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with kernel, ours:
        kernel.setblocking(False)

        def send(frame: bytes) -> None:
            try:
                kernel.send(frame)
            except OSError:  # full, as a socket's buffer is before the reader is there: the kernel drops, too
                return

        with reading(way, folder, ours) as process:
            paced(send, cycle(raw), SECONDS + 3.0)
            return _result(process)


def _result(process: subprocess.Popen[str]) -> dict[str, float]:
    said, _ = process.communicate(timeout=60)
    found: dict[str, float] = json.loads(said)
    return found


def decode_rates(frames: list[tuple[int, bytes]], layouts: tuple[MessageLayout, ...]) -> list[Row]:
    """Frames per second without any transport: ours, and cantools as it is commonly used."""
    import cantools
    from cantools.database.can import Database

    heads = [(struct.pack("=I", key), key, data) for key, data in frames]
    listener = SignalListener(layouts, period_s=1.0)
    wanted = {struct.pack("=I", each.key): each.key for each in listener.filters}

    def ours() -> int:
        for start in range(0, len(heads), FRAMES_PER_SECOND):
            now = start / FRAMES_PER_SECOND
            for head, _, data in heads[start : start + FRAMES_PER_SECOND]:
                key = wanted.get(head)
                if key is not None:
                    listener.hear(key, data, now)
            listener.take(now)
        return len(heads)

    database = cantools.database.load_file(toyota(), strict=False)
    assert isinstance(database, Database)
    lengths = {message.frame_id: message.length for message in database.messages}

    def cantools_all() -> int:
        known = 0
        for key, data in frames:
            if key in lengths and len(data) >= lengths[key]:
                database.decode_message(key, data[: lengths[key]], decode_choices=False)
                known += 1
        return known

    def cantools_wanted() -> int:
        for head, key, data in heads:
            if head in wanted:
                database.decode_message(key, data[: lengths[key]], decode_choices=False)
        return len(heads)

    def rate(way: Callable[[], int]) -> float:
        best = 0.0
        for _ in range(3):
            begun = time.perf_counter()
            count = way()
            best = max(best, count / (time.perf_counter() - begun))
        return best

    alone, filtered, theirs = rate(ours), rate(cantools_wanted), rate(cantools_all)
    against = "cantools decoding all it knows"
    return [
        row(
            "filter, note, decode what is due, no transport",
            alone,
            "frames/s",
            digits=0,
            ratio=alone / theirs,
            against=against,
        ),
        row(
            "the same filter, cantools decodes the wanted",
            filtered,
            "frames/s",
            digits=0,
            ratio=filtered / theirs,
            against=against,
        ),
        row(against, theirs, "frames/s", digits=0),
    ]


def rows() -> list[Row]:
    """All figures of this part."""
    if not LOG.exists():
        raise SystemExit(f"{LOG} is not here: this benchmark needs the recording")
    frames = recorded()
    with tempfile.TemporaryDirectory(prefix="wearcast-bench-") as name:
        folder = Path(name)
        layouts = cached_layouts(toyota(), MAPPINGS, folder)
        wanted = frozenset(layout.key for layout in layouts)
        found = {
            "all": measured("socket", folder, frames, None),
            "filtered": measured("socket", folder, frames, wanted),
            "thrown away": measured("socket thrown away", folder, frames, None),
            "python-can": measured("python-can", folder, frames, None),
            "python-can thrown away": measured("python-can thrown away", folder, frames, None),
        }
    names = {
        "filtered": ("SocketCAN's bytes, the kernel filters", GOAL_PERCENT),
        "all": ("SocketCAN's bytes, nothing filtered before us", GOAL_PERCENT),
        "thrown away": ("of it transport: read and thrown away", None),
        "python-can": ("through python-can over udp_multicast", None),
        "python-can thrown away": ("of it transport: python-can's recv, thrown away", None),
    }
    table = []
    for key, (text, goal) in names.items():
        each = found[key]
        if not key.endswith("thrown away") and each["values"] < SECONDS:
            raise SystemExit(f"{text}: only {each['values']:.0f} values came in {SECONDS:.0f} s")
        told = f"{text} ({each['frames_per_second']:,.0f} frames/s read)"
        table.append(row(told, each["percent"], "% of a core", at_most=goal, digits=2))
    return [*table, *decode_rates(frames, layouts)]


def main() -> None:
    """The reading process: its CPU, and what it read."""
    used, frames, values = read(sys.argv[1], int(sys.argv[2]))
    result = {"percent": 100 * used / SECONDS, "frames_per_second": frames / SECONDS, "values": values}
    print(json.dumps(result))  # noqa: T201 - read by the process that started this one


if __name__ == "__main__":
    main()
