"""What keeps a dongle from working, check by check, each with the remedy. A check that cannot be made says so."""

import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from edge_agent.clock import SYNCHRONISED
from edge_agent.config import AgentConfig, MqttConfig, TlsConfig
from edge_agent.diagnose.session import diagnosing
from edge_agent.errors import EdgeAgentError, OutboxError, SourceError
from edge_agent.ledger import read_ledger
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.dialect import OBD, Dialect
from edge_agent.outbox import GIVEN_UP
from edge_agent.tester.base import Connect, Tester

Verdict = Literal["ok", "warn", "fail", "skipped"]

EARLIEST_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)  # this software is not older
EXPIRES_SOON: Final = timedelta(days=30)
LITTLE_DISK_BYTES: Final = 200_000_000
_MODULE_VOLTAGE_PID: Final = 0x42
_LOW_VOLTAGE_V: Final = 12.0  # of a lead-acid battery at rest: about a quarter full
_CONNECT_SECONDS: Final = 5.0
_ANY_REMEDY: Final = "unplug it and plug it in again; then check cable, address and bit rate"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding: what was looked at, how it is, and what to do if it is not well."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(connect: Connect | None, *, adapter: str, config: AgentConfig | None, now: datetime) -> Iterator[Check]:
    """All checks, each given as soon as it is made. Without an ``agent.yaml`` only those of the car and the clock."""
    if connect is None:
        yield Check(
            name="adapter",
            verdict="fail",
            found="no adapter was found on this machine",
            remedy="plug one in, or name it: --adapter elm327:/dev/ttyUSB0, can:socketcan:can0",
        )
    else:
        yield from examine_car(connect, adapter)
    yield clock_check(now, synchronised=SYNCHRONISED.exists())
    if config is None:
        for name in ("broker", "certificate", "disk"):
            yield Check(name=name, verdict="skipped", found="needs an agent.yaml", remedy="give it by --config")
        return
    yield from certificate_checks(config.mqtt.tls, config.device, now)
    yield broker_check(config.mqtt)
    yield from disk_checks(config.outbox_path)


def examine_car(connect: Connect, adapter: str) -> Iterator[Check]:
    """Adapter, bus, ignition and supply, from the nearest to the farthest: the first that fails explains the rest."""
    try:
        with diagnosing(connect) as session:
            yield Check(name="adapter", verdict="ok", found=f"{adapter} opens")
            if session.identifier_bits is None:
                yield Check(
                    name="ignition",
                    verdict="fail",
                    found="no ECU answers, neither to 11 nor to 29 bit identifiers",
                    remedy="switch the ignition on; then check the bit rate, that CAN high and low are not exchanged, "
                    "and that the plug sits; some cars without combustion engine answer no standard OBD at all",
                )
                return
            tester = session.tester
            ecus = sorted(tester.functional(session.dialect.request(0), expected=None).answers)
            yield Check(
                name="ignition",
                verdict="ok",
                found=f"{len(ecus)} ECUs answer {session.dialect.name} with {session.identifier_bits} bit identifiers: "
                f"{', '.join(ecus)}",
            )
            yield latency_check(tester, set(ecus), session.dialect)
            yield supply_check(tester, session.dialect)
    except SourceError as error:
        found, _, remedy = str(error).rpartition("; ")  # an error of a source says what to do at its end
        yield Check(name="adapter", verdict="fail", found=found or remedy, remedy=remedy if found else _ANY_REMEDY)


def latency_check(
    tester: Tester, ecus: set[str], dialect: Dialect = OBD, *, clock: Callable[[], float] = time.monotonic
) -> Check:
    """How quickly the car answers, over a few questions."""
    taken: list[float] = []
    for _ in range(10):
        started = clock()
        if tester.functional(dialect.request(0), expected=ecus).answers.keys() >= ecus:
            taken.append(clock() - started)
    if len(taken) < 8:
        return Check(
            name="bus",
            verdict="warn",
            found=f"only {len(taken)} of 10 questions were answered by every ECU",
            remedy="check the plug and the wiring; with a Bluetooth adapter, come nearer; raise source.timeout",
        )
    return Check(name="bus", verdict="ok", found=f"answers after {sorted(taken)[len(taken) // 2] * 1000:.0f} ms")


def supply_check(tester: Tester, dialect: Dialect = OBD) -> Check:
    """The 12 V side as an ECU measures it."""
    request = dialect.request(_MODULE_VOLTAGE_PID)
    for payload in tester.functional(request, expected=None, enough=1).answers.values():
        try:
            values = dialect.decode(_MODULE_VOLTAGE_PID, payload).values
        except AnswerError:
            continue
        for voltage in values.values():
            low = voltage < _LOW_VOLTAGE_V
            return Check(
                name="supply",
                verdict="warn" if low else "ok",
                found=f"{voltage:.2f} V",
                remedy="the 12 V battery is low: charge it before diagnosing on" if low else "",
            )
    return Check(name="supply", verdict="skipped", found="no ECU tells its voltage")


def clock_check(now: datetime, *, synchronised: bool) -> Check:
    """Whether the time can be true, and whether something keeps it so."""
    if now < EARLIEST_TIME:
        return Check(
            name="clock",
            verdict="warn",
            found=f"it is {now:%Y-%m-%d %H:%M} here, which cannot be",
            remedy="let it reach a time server once (timedatectl); samples are put right then",
        )
    if not synchronised:
        return Check(
            name="clock",
            verdict="warn",
            found=f"{now:%Y-%m-%d %H:%M:%S} UTC, not synchronised by systemd-timesyncd",
            remedy="check timedatectl, unless another service keeps the time",
        )
    return Check(name="clock", verdict="ok", found=f"{now:%Y-%m-%d %H:%M:%S} UTC, synchronised")


def certificate_checks(tls: TlsConfig | None, device: str, now: datetime) -> Iterable[Check]:
    """The device's certificate: whom it names, and how long it lasts."""
    if tls is None or tls.certificate is None:
        return [Check(name="certificate", verdict="skipped", found="agent.yaml names none")]
    try:
        ssl.create_default_context().load_cert_chain(tls.certificate, tls.key)
        # The only reader of a certificate in the standard library; the dongle carries no other.
        content: dict[str, Any] = ssl._ssl._test_decode_cert(str(tls.certificate))  # type: ignore[attr-defined]  # noqa: SLF001
    except (OSError, ssl.SSLError) as error:
        return [
            Check(
                name="certificate",
                verdict="fail",
                found=f"{tls.certificate} and {tls.key} cannot be used ({error})",
                remedy="write the bundle anew: wearcast flash bundle",
            )
        ]
    name = next((value for rdn in content["subject"] for key, value in rdn if key == "commonName"), "nobody")
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(content["notAfter"]), UTC)
    return [_named(name, device), _lasting(expires, now)]


def broker_check(mqtt: MqttConfig) -> Check:
    """Whether the broker's port answers, with the TLS that the agent would use. Nobody signs in."""
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        with socket.create_connection((mqtt.host, mqtt.port), timeout=_CONNECT_SECONDS) as plain:
            if mqtt.tls is None:
                return Check(name="broker", verdict="ok", found=f"{where} answers, without TLS")
            context = ssl.create_default_context(cafile=None if mqtt.tls.ca is None else str(mqtt.tls.ca))
            if mqtt.tls.certificate is not None:
                context.load_cert_chain(mqtt.tls.certificate, mqtt.tls.key)
            with context.wrap_socket(plain, server_hostname=mqtt.host) as secured:
                return Check(name="broker", verdict="ok", found=f"{where} answers with {secured.version()}")
    except ssl.SSLError as error:
        return Check(
            name="broker",
            verdict="fail",
            found=f"{where} refuses TLS or is not trusted ({error.reason or error})",
            remedy="mqtt.tls.ca must be the authority of that broker, and mqtt.host the name in its certificate",
        )
    except OSError as error:
        return Check(
            name="broker",
            verdict="fail",
            found=f"{where} cannot be reached ({error})",
            remedy="check mqtt.host, the network and a firewall; meanwhile everything waits in the outbox",
        )


def disk_checks(outbox: Path) -> Iterator[Check]:
    """Room for the outbox, and what it had to give up so far."""
    folder = next((parent for parent in outbox.absolute().parents if parent.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    few = free < LITTLE_DISK_BYTES
    yield Check(
        name="disk",
        verdict="warn" if few else "ok",
        found=f"{free / 1e6:.0f} MB free in {folder}",
        remedy="make room, or lower outbox.max_size" if few else "",
    )
    try:
        counts = read_ledger(outbox)
    except OutboxError as error:
        yield Check(name="outbox", verdict="skipped", found=str(error))
        return
    lost = {name: counts[name] for name in GIVEN_UP if counts.get(name)}
    waiting = f"{counts['batches_waiting']} batches wait, {counts['rejected_kept']} were rejected"
    yield Check(
        name="outbox",
        verdict="warn" if lost or counts["rejected_kept"] else "ok",
        found=waiting + (f"; given up: {', '.join(f'{name} {n}' for name, n in lost.items())}" if lost else ""),
        remedy="see wearcast agent outbox, and at the backend wearcast ingest rejected"
        if lost or counts["rejected_kept"]
        else "",
    )


def config_check(load: Callable[[], AgentConfig]) -> tuple[AgentConfig | None, Check]:
    """The configuration, or what is wrong with it."""
    try:
        config = load()
    except EdgeAgentError as error:
        return None, Check(name="configuration", verdict="fail", found=str(error), remedy="put that line right")
    return config, Check(name="configuration", verdict="ok", found=f"{config.origin}: device {config.device}")


def _named(name: str, device: str) -> Check:
    if name == device:
        return Check(name="certificate", verdict="ok", found=f"names {name}")
    return Check(
        name="certificate",
        verdict="fail",
        found=f"it names {name}, agent.yaml says {device}",
        remedy="a device may only speak under the name of its certificate: write the bundle anew, or put device right",
    )


def _lasting(expires: datetime, now: datetime) -> Check:
    left = expires - now
    if left <= timedelta(0):
        verdict: Verdict = "fail"
    else:
        verdict = "warn" if left < EXPIRES_SOON else "ok"
    return Check(
        name="certificate",
        verdict=verdict,
        found=f"valid until {expires:%Y-%m-%d}, {left.days} days left",
        remedy="" if verdict == "ok" else "write the bundle anew: wearcast flash bundle",
    )
