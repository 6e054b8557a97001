"""Queries per second and CPU per query: our testers against python-OBD bare, on the same virtual ECUs, side by side.

A garage in a process of its own serves equal cars: two behind virtual ELM327s on pseudo-terminals, one on a CAN bus
(UDP multicast). Each reader runs in a process of its own; rounds take turns, and medians are compared. A query asks
one parameter of service 01 and decodes it. CPU is what the scheduler counted (/proc), of ours with the process that
holds the adapter. The adapter's and the ECUs' own time counts for nobody, but takes its share of the cores.

Two settings: an adapter that answers at once, where only the software counts; and one at 38400 baud with ECUs that take
10 ms, as in a car.
"""

import atexit
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import can
import yaml

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.obd import service01
from edge_agent.sources.obd import DEFAULT_ECUS
from edge_agent.tester.base import Tester
from edge_agent.tester.can import CanTester
from edge_agent.tester.elm327 import Elm327Tester
from tests.benchmarks.bench_row import ROOT, Row, row

PIDS: Final = (0x0C, 0x0D, 0x05, 0x04, 0x0F, 0x11)
ROUNDS: Final = 7
AT_ONCE: Final = 2000  # queries of a round, where the adapter answers at once
IN_A_CAR: Final = 200
CAN_GROUP, CAN_PORT = "239.74.163.92", 45092
PACED: Final = {"baud": 38_400, "ecu_latency_ms": 10}
BARE: Final = "python-OBD"
CAN: Final = "ours, CAN"
BUS_ALONE: Final = "python-can alone, frames unchecked"
_RUN_GARAGE: Final = "import sys; from edge_agent.virtual_car.garage import run_garage; run_garage(sys.argv[1])"
_MODULE: Final = "tests.benchmarks.bench_edge_queries"


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of one reader."""

    queries: int
    seconds: float
    cpu_s: float
    resident_mb: float
    adapter_mb: float  # of it the process that holds the adapter

    @property
    def per_second(self) -> float:
        """Queries."""
        return self.queries / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per query."""
        return self.cpu_s / self.queries * 1e6


def rows() -> list[Row]:
    """All figures of this part."""
    with tempfile.TemporaryDirectory(prefix="wearcast-bench-") as folder, _garage(Path(folder)):
        fast = _compare(
            AT_ONCE,
            {
                BARE: ("python-obd", f"{folder}/1"),
                "ours, ELM327": ("elm327", f"{folder}/2"),
                CAN: ("can", str(CAN_PORT)),
                BUS_ALONE: ("can-bare", str(CAN_PORT + 1)),
                "ours, ELM327, 6 parameters a request": ("elm327-6", f"{folder}/3"),
            },
        )
        paced = _compare(
            IN_A_CAR,
            {
                BARE: ("python-obd", f"{folder}/4"),
                "ours, ELM327": ("elm327", f"{folder}/5"),
                "ours, ELM327, 6 parameters a request": ("elm327-6", f"{folder}/6"),
            },
        )
    return [*_table(fast, ""), *_table(paced, " (38400 baud, ECU 10 ms)")]


def _table(results: dict[str, list[Round]], where: str) -> list[Row]:
    table = []
    bare_rate = statistics.median(each.per_second for each in results[BARE])
    bare_cpu = statistics.median(each.cpu_us for each in results[BARE])
    for name, rounds in results.items():
        rate = statistics.median(each.per_second for each in rounds)
        cpu = statistics.median(each.cpu_us for each in rounds)
        ours = name.startswith("ours")
        table += [
            row(
                f"{name}{where}",
                rate,
                "queries/s",
                digits=0,
                at_least=round(bare_rate) if name == "ours, ELM327" else None,
                ratio=rate / bare_rate if ours else None,
                against=f"{BARE}{where}" if ours else None,
            ),
            row(
                f"{name}, CPU{where}",
                cpu,
                "us CPU/query",
                digits=0,
                at_most=round(bare_cpu) if name == "ours, ELM327" else None,
                ratio=bare_cpu / cpu if ours else None,
                against=f"{BARE}, CPU{where}" if ours else None,
            ),
        ]
        if not where:
            table.append(row(f"{name}, resident", rounds[-1].resident_mb, "MB", digits=1))
        if not where and name == "ours, ELM327":
            table.append(row(f"{name}, of it what holds the adapter", rounds[-1].adapter_mb, "MB", digits=1))
    if CAN in results:
        bus = statistics.median(each.cpu_us for each in results[BUS_ALONE])
        own = statistics.median(each.cpu_us for each in results[CAN]) - bus
        name = f"{CAN}, CPU without what the bus costs (UDP here, SocketCAN in a car)"
        table.append(row(name, own, "us CPU/query", digits=0, ratio=bare_cpu / own, against=f"{BARE}, CPU{where}"))
    return table


def _compare(queries: int, readers: dict[str, tuple[str, str]]) -> dict[str, list[Round]]:
    """Rounds in turn, so that all meet the same minutes of this machine."""
    results: dict[str, list[Round]] = {name: [] for name in readers}
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(*how)) for name, how in readers.items()}
        for worker in workers.values():
            worker(max(queries // 10, 10))  # what is learned at first is learned
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                results[name].append(worker(queries))
    return results


@contextlib.contextmanager
def _worker(kind: str, port: str) -> Iterator[Callable[[int], Round]]:
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE, "--worker", kind, port],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told, answers = process.stdin, process.stdout

    def measure(queries: int) -> Round:
        told.write(f"{queries}\n")
        told.flush()
        return Round(**json.loads(answers.readline()))

    try:
        yield measure
    finally:
        told.close()
        process.wait(20)
        answers.close()


@contextlib.contextmanager
def _garage(folder: Path) -> Iterator[None]:
    buses: list[dict[str, object]] = [
        {"interface": "elm327", "channel": str(folder / str(n)), **(PACED if n > 3 else {})} for n in range(1, 7)
    ]
    # of its own each: all that are on one bus hear all of it
    buses += [{"interface": "udp_multicast", "channel": CAN_GROUP, "port": CAN_PORT + n} for n in (0, 1)]
    cars = [{"name": f"car-{n}", "vin": "WVWZZZ1KZAW000001", "bus": bus} for n, bus in enumerate(buses)]
    file = folder / "garage.yaml"
    file.write_text(yaml.safe_dump({"cars": cars}))
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN_GARAGE, str(file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        if not process.stdout.readline().startswith("garage ready"):
            raise SystemExit("the garage does not start; does udp_multicast work here?")
        yield
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def work(kind: str, port: str) -> None:
    """Be a reader: for each number read, ask so many queries and print the round."""
    ask, pids = _asker(kind, port)
    for line in sys.stdin:
        queries = int(line)
        cpu, began = _cpu_s(pids()), time.monotonic()
        ask(queries)
        seconds = time.monotonic() - began
        spent = _cpu_s(pids()) - cpu
        resident = [_resident_kb(pid) / 1024 for pid in pids()]
        result = {
            "queries": queries,
            "seconds": seconds,
            "cpu_s": spent,
            "resident_mb": sum(resident),
            "adapter_mb": sum(resident[1:]),
        }
        print(json.dumps(result), flush=True)  # noqa: T201 - read by the process that started this one


def _asker(kind: str, port: str) -> tuple[Callable[[int], None], Callable[[], list[int]]]:
    """What asks N queries, and the processes whose CPU counts."""
    if kind == "python-obd":
        import obd

        connection = obd.OBD(port, fast=True)
        commands = [obd.commands[1][pid] for pid in PIDS]

        def bare(queries: int) -> None:
            for n in range(queries):
                assert not connection.query(commands[n % len(PIDS)]).is_null()

        return bare, lambda: [os.getpid()]
    tester: Tester
    options = {"port": int(port)} if kind.startswith("can") else {}
    bus = CanBusConfig(interface="udp_multicast", channel=CAN_GROUP, options=options)
    if kind == "can-bare":
        return _bare_frames(bus), lambda: [os.getpid()]
    tester = CanTester.open(bus, DEFAULT_ECUS) if kind == "can" else Elm327Tester.open(port)
    having = {pid: set(tester.functional(service01.request(pid), expected=None).answers) for pid in PIDS}

    def one_each(queries: int) -> None:
        for n in range(queries):
            pid = PIDS[n % len(PIDS)]
            exchange = tester.functional(service01.request(pid), expected=having[pid])
            assert service01.decode(pid, exchange.answers["7E8"]).values

    def several(queries: int) -> None:
        everybody = set().union(*having.values())
        for _ in range(queries // len(PIDS)):
            exchange = tester.functional(service01.request(*PIDS), expected=everybody)
            data = service01.decode_several(PIDS, exchange.answers["7E8"])
            assert all(service01.decode_data(pid, data[pid], "").values for pid in PIDS)

    atexit.register(tester.close)

    def processes() -> list[int]:
        own = [os.getpid()]
        return [*own, tester.pid] if isinstance(tester, Elm327Tester) and tester.pid is not None else own

    return several if kind.endswith("-6") else one_each, processes


def _bare_frames(config: CanBusConfig) -> Callable[[int], None]:
    """What the bus itself costs: a frame out, the engine's answer in, nothing looked at."""
    bus = open_can_bus(config)
    bus.set_filters([{"can_id": 0x7E8, "can_mask": 0x7FF}])
    atexit.register(bus.shutdown)

    def frames(queries: int) -> None:
        for n in range(queries):
            data = bytes((2, 1, PIDS[n % len(PIDS)])).ljust(8, b"\xaa")
            bus.send(can.Message(arbitration_id=0x7DF, data=data, is_extended_id=False))
            assert bus.recv(1) is not None

    return frames


def _cpu_s(pids: list[int]) -> float:
    """CPU of all threads of these processes; the scheduler counts nanoseconds, where ticks are 10 ms."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


if __name__ == "__main__" and sys.argv[1:2] == ["--worker"]:
    work(*sys.argv[2:4])
