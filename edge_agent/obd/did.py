"""Read data by identifier: a maker's own values, described as data so that a profile can hold them.

UDS service 0x22 (ISO 14229-1) with identifiers of two bytes, and service 0x21 (ISO 14230-3) with those of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from edge_agent.errors import ConfigurationError
from edge_agent.obd.answers import AnswerError, Decoded, answer_data, checked, merged
from edge_agent.obd.fields import Fields
from telemetry.catalogue import catalogue
from telemetry.errors import CatalogueError

READ_DATA = 0x22
READ_LOCAL_DATA = 0x21
_IDENTIFIER_BYTES = {READ_DATA: 2, READ_LOCAL_DATA: 1}
_MAX_DATA_BYTES = 4092  # ISO-TP carries 4095, of which service and DID take three


@dataclass(frozen=True, kw_only=True)
class DidSignal:
    """One value within a DID's data: raw * ``scale`` + ``offset`` in the catalogue's unit.

    Bits are big-endian and counted from the first bit after service and DID. ``absent``: raw numbers by which the ECU
    says that it has no value.
    """

    did: int
    path: str
    bit_offset: int = 0
    bit_length: int = 8
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    signed: bool = False
    absent: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        where = f"DID {self.did:04X}, {self.path}"
        if self.path not in catalogue():
            try:
                catalogue().by_path(self.path)
            except CatalogueError as error:
                raise ConfigurationError(f"DID {self.did:04X}: {error}") from error
        if self.bit_offset < 0 or not 1 <= self.bit_length <= 64:
            raise ConfigurationError(f"{where}: offsets are not negative, and a value has 1 to 64 bits")
        if self.scale == 0:
            raise ConfigurationError(f"{where}: a scale of 0 makes every value the same")

    @property
    def bit_end(self) -> int:
        """First bit after the value."""
        return self.bit_offset + self.bit_length

    def value(self, data: bytes) -> float | None:
        """Value in the catalogue's unit, None where the ECU has none; the data must reach as far as :attr:`bit_end`."""
        raw = (int.from_bytes(data) >> (len(data) * 8 - self.bit_end)) & ((1 << self.bit_length) - 1)
        if self.signed and raw >> (self.bit_length - 1):
            raw -= 1 << self.bit_length
        return None if raw in self.absent else float(raw * self.scale + self.offset)


@dataclass(frozen=True, kw_only=True)
class DidDefinition:
    """One DID of one ECU: where to ask, how often, and the signals in the answer.

    ``length``: data bytes the answer must have; None accepts any that covers the signals (model years differ).
    ``service``: 0x22, or 0x21 with an identifier of one byte.
    """

    did: int
    request_id: int  # CAN identifier; above 0x7FF it is a 29-bit one
    response_id: int
    period_s: float
    signals: tuple[DidSignal, ...]
    length: int | None = None
    service: int = READ_DATA

    def __post_init__(self) -> None:
        where = f"DID {self.did:04X}"
        if self.service not in _IDENTIFIER_BYTES:
            raise ConfigurationError(f"{where}: service 0x{self.service:02X} reads no identifier; it is 0x22 or 0x21")
        if not 0 <= self.did < 1 << 8 * self.identifier_bytes:
            has = "one byte" if self.identifier_bytes == 1 else "two bytes"
            raise ConfigurationError(f"{where}: a DID of service 0x{self.service:02X} has {has}")
        if not self.signals or any(signal.did != self.did for signal in self.signals):
            raise ConfigurationError(f"{where}: give it at least one signal, each with this DID")
        if self.period_s <= 0:
            raise ConfigurationError(f"{where}: period_s is the time between two reads and above 0")
        if self.length is not None and not self.minimum_length <= self.length <= _MAX_DATA_BYTES:
            raise ConfigurationError(
                f"{where}: length {self.length} does not hold its signals ({self.minimum_length} bytes)"
            )

    @property
    def identifier_bytes(self) -> int:
        """Bytes of the identifier, which the answer repeats after the service."""
        return _IDENTIFIER_BYTES[self.service]

    @property
    def request(self) -> bytes:
        """Bytes that ask for it."""
        return request(self.did, self.service)

    @property
    def minimum_length(self) -> int:
        """Data bytes needed for all signals."""
        return max(-(-signal.bit_end // 8) for signal in self.signals)

    @property
    def data_length(self) -> int:
        """Data bytes of the answer as far as known."""
        return self.length if self.length is not None else self.minimum_length

    @property
    def request_name(self) -> str:
        """How a fault names this request."""
        return f"service {self.service:02X} DID {self.did:0{2 * self.identifier_bytes}X} at {self.request_id:03X}"

    @classmethod
    def from_dict(cls, document: Mapping[str, object], where: str = "dids") -> "DidDefinition":
        """Build from plain data (YAML, JSON); ConfigurationError names the place in it and the nearest key.

        Keys: did, request_id, response_id, period_s, length and service (optional), signals: a list of path,
        byte_offset or bit_offset, length (bytes) or bit_length, scale ("100/255" or a number), offset, signed.
        """
        fields = Fields(document, where)
        did = fields.integer("did")
        definition = cls(
            did=did,
            request_id=fields.integer("request_id"),
            response_id=fields.integer("response_id"),
            period_s=fields.number("period_s", 10.0),
            length=fields.optional_integer("length"),
            service=fields.integer("service", READ_DATA),
            signals=tuple(_signal(did, Fields(item, place)) for item, place in fields.items("signals")),
        )
        fields.done()
        return definition


def request(did: int, service: int = READ_DATA) -> bytes:
    """Bytes that ask for one DID."""
    return bytes((service,)) + did.to_bytes(_IDENTIFIER_BYTES[service])


def decode(definition: DidDefinition, payload: bytes) -> Decoded:
    """Values of one answer, without those the ECU says it has none of.

    AnswerError for a negative, foreign, short or wrongly sized one.
    """
    data = answer_data(definition.request, payload, echo=definition.identifier_bytes)
    if definition.length is not None and len(data) != definition.length:
        raise AnswerError(f"{len(data)} data bytes, expected {definition.length}")
    if len(data) < definition.minimum_length:
        raise AnswerError(f"{len(data)} data bytes, at least {definition.minimum_length} are needed")
    name = definition.request_name
    values = [(signal.path, signal.value(data)) for signal in definition.signals]
    return merged([checked(path, value, name) for path, value in values if value is not None])


def definitions_from(documents: Sequence[object], where: str = "dids") -> tuple[DidDefinition, ...]:
    """Build all definitions of a list of plain data."""
    return tuple(
        DidDefinition.from_dict(item, place) for item, place in Fields({"dids": documents}, where).items("dids")
    )


def _signal(did: int, fields: Fields) -> DidSignal:
    bit_offset = fields.optional_integer("bit_offset")
    byte_offset = fields.optional_integer("byte_offset")
    bit_length = fields.optional_integer("bit_length")
    length = fields.optional_integer("length")
    if bit_offset is not None and byte_offset is not None:
        raise ConfigurationError(f"{fields.where}: give bit_offset or byte_offset, not both")
    if bit_length is not None and length is not None:
        raise ConfigurationError(f"{fields.where}: give bit_length or length (bytes), not both")
    signal = DidSignal(
        did=did,
        path=fields.text("path"),
        bit_offset=bit_offset if bit_offset is not None else 8 * (byte_offset or 0),
        bit_length=bit_length if bit_length is not None else 8 * (1 if length is None else length),
        scale=fields.fraction("scale", Fraction(1)),
        offset=fields.fraction("offset", Fraction(0)),
        signed=fields.boolean("signed", default=False),
    )
    fields.done()
    return signal
