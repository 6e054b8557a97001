"""The keys of a vehicle profile and of a hardware profile: from here come checks, JSON schemas and documented keys."""

from firmware_profiles.shape import (
    Choice,
    Duration,
    Flag,
    Hex,
    HexBytes,
    Key,
    ListOf,
    Number,
    Ratio,
    Record,
    Table,
    Text,
    Value,
)
from telemetry.catalogue import catalogue

NAME = Text(r"^[a-z][a-z0-9_]*$", "small letters, digits and '_', starting with a letter")
_CAN_ID = Hex((3, 8))  # 11 bit identifiers have three digits, 29 bit identifiers eight
_COLUMNS = tuple(signal.column for signal in catalogue())
_VOLTAGE = Number(6, 32, "V")
_CURRENT = Number(0, 5000, "mA")
_YEAR = Number(1980, 2060, whole=True)  # a VIN tells the model year since 1980 (49 CFR 565)
_VIN_CHARACTER = "[A-HJ-NPR-Z0-9]"  # ISO 3779: no I, O, Q
_VIN_PATTERN = Text(
    rf"^({_VIN_CHARACTER}|\?|\[({_VIN_CHARACTER}(-{_VIN_CHARACTER})?)+\]){{3,17}}$",
    "the first 3 to 17 characters of a VIN, where ? is any and [AC-E] one of some",
)

_EXAMPLE = Record(
    {
        "payload": Key(HexBytes(), "bytes that follow the echoed DID, in hexadecimal", required=True),
        "value": Key(Number(-1e12, 1e12), "what they mean, in the unit of the signal", required=True),
    }
)
_SIGNAL = Record(
    {
        "signal": Key(Choice(_COLUMNS), "column of the signal in the catalogue", required=True),
        "byte_offset": Key(
            Number(0, 4000, "bytes", whole=True), "bytes between the echoed DID and the value", inherited=True
        ),
        "bit_in_byte": Key(Number(0, 7, "bits", whole=True), "bits to skip in that byte, from the most significant"),
        "bit_length": Key(Number(1, 64, "bits", whole=True), "length of the raw number in bits", inherited=True),
        "scale": Key(Ratio(), "what one step of the raw number is, in the unit of the signal", inherited=True),
        "offset": Key(Ratio(), "what to add after scaling, in the unit of the signal"),
        "signed": Key(Flag(), "whether the raw number is two's complement"),
        "absent": Key(
            ListOf(Number(-(2**31), 2**32 - 1, whole=True)),
            "raw numbers by which the ECU says that it has no value; such an answer gives none",
        ),
        "example": Key(_EXAMPLE, "an answer and the value it means, tested", inherited=True),
        "examples": Key(ListOf(_EXAMPLE), "further answers and their values, tested too"),
    }
)
_DID = Record(
    {
        "name": Key(NAME, "what is read; a file that extends this one changes it by this name", required=True),
        "request_id": Key(_CAN_ID, "CAN identifier of the request", inherited=True),
        "response_id": Key(_CAN_ID, "CAN identifier of the answer", inherited=True),
        "service": Key(
            Choice(("22", "21")),
            "diagnostic service: 22 (also where none stands) reads by identifier, 21 by local identifier",
        ),
        "did": Key(
            Text(r"^[0-9A-F]{2}([0-9A-F]{2})?$", "4 hexadecimal digits (2 for service 21) in quotes, capital letters"),
            "data identifier: 4 digits, or 2 with service 21",
            inherited=True,
        ),
        "length": Key(
            Number(1, 4092, "bytes", whole=True),
            "bytes that follow the echoed DID in every answer; another length is refused",
        ),
        "period": Key(Duration(), "how often to ask", inherited=True),
        "source": Key(Text(), "where the definition is published", inherited=True),
        "note": Key(Text(), "what to know of this definition: where sources differ, which years have it"),
        "signals": Key(ListOf(_SIGNAL, by="signal"), "signals in the answer", inherited=True),
    }
)
_MATCH = Record(
    {
        "vin": Key(
            ListOf(_VIN_PATTERN), "what the VIN of such a car begins with; ? is any character, [AC-E] one of some"
        ),
        "years": Key(
            Record(
                {
                    "first": Key(_YEAR, "first model year", inherited=True),
                    "last": Key(_YEAR, "last model year; none: still made"),
                }
            ),
            "model years",
        ),
        "ecus": Key(ListOf(_CAN_ID), "CAN identifiers by which ECUs of such a car answer"),
    }
)
_POLL = Record(
    {
        "pid": Key(Hex((2,)), "parameter identifier (SAE J1979)", required=True),
        "service": Key(Choice(("01",)), "OBD service; 01 is current data"),
        "period": Key(Duration(), "how often to ask", required=True),
    }
)
_UDS_19 = Record(
    {
        "request_id": Key(_CAN_ID, "CAN identifier of the request", required=True),
        "response_id": Key(_CAN_ID, "CAN identifier of the answer", required=True),
        "status_mask": Key(Hex((2,)), "status bits a code must have one of (ISO 14229-1)", required=True),
    }
)

_COMMON = {
    "name": Key(NAME, "the file's name without .yaml", required=True),
    "title": Key(Text(), "what people call it", required=True),
    "extends": Key(NAME, "profile of the same folder whose keys apply where this file has none"),
    "family": Key(Flag(), "true: a base for others, not itself a profile to choose"),
    "notes": Key(Text(), "what an installer or engineer should know"),
}

VEHICLE = Record(
    {
        **_COMMON,
        "kind": Key(
            Choice(("petrol", "diesel", "hybrid", "electric", "generic")),
            "petrol, diesel, hybrid, electric or generic",
            inherited=True,
        ),
        "category": Key(
            Choice(("M1", "N1")),
            "M1 (car, where nothing is said) or N1 (van): which battery durability Euro 7 requires of it",
        ),
        "simulated": Key(Flag(), "true: definitions of the simulated ECU, which no real car answers"),
        "match": Key(_MATCH, "how such a car is recognised; without it, it is never chosen by itself"),
        "can": Key(
            Record(
                {
                    "bit_rate": Key(
                        Number(125_000, 1_000_000, "bit/s", whole=True),
                        "bit rate of the diagnostic bus",
                        inherited=True,
                    ),
                    "identifier_bits": Key(
                        Number(11, 29, "bits", whole=True),
                        "11 or 29: identifiers of standard OBD requests",
                        inherited=True,
                    ),
                }
            ),
            "the diagnostic bus",
            inherited=True,
        ),
        "poll": Key(ListOf(_POLL, by="pid"), "standard OBD parameters to read"),
        "dids": Key(ListOf(_DID, by="name"), "manufacturer's data to read by identifier"),
        "trouble_codes": Key(
            Record(
                {
                    "services": Key(
                        ListOf(Choice(("03", "07", "0A"))), "OBD services: confirmed, pending, permanent codes"
                    ),
                    "uds_19": Key(ListOf(_UDS_19), "ECUs to ask by UDS service 19"),
                    "period": Key(Duration(), "how often to ask", inherited=True),
                }
            ),
            "how trouble codes are read",
        ),
        "health": Key(Table(Table(Value())), "parameters of the estimators, by estimator"),
        "limits": Key(Table(Value()), "read by nobody: limits stand in the rules alone", deprecated=True),
    }
)

HARDWARE = Record(
    {
        **_COMMON,
        "board": Key(Text(), "the computer", inherited=True),
        "arch": Key(Choice(("arm64", "armhf", "amd64")), "Debian architecture", inherited=True),
        "memory_mb": Key(Number(128, 65_536, "MB", whole=True), "RAM in MB", inherited=True),
        "interface": Key(
            Record(
                {
                    "kind": Key(
                        Choice(("socketcan", "slcan", "gs_usb", "elm327")), "how the bus is reached", inherited=True
                    ),
                    "channel": Key(Text(), "network interface, serial port or USB device", inherited=True),
                    "serial_baud": Key(Number(9600, 4_000_000, "baud", whole=True), "speed of a serial adapter"),
                    "fd": Key(Flag(), "whether the controller can do CAN FD"),
                }
            ),
            "how the dongle reaches the bus",
            inherited=True,
        ),
        "controller": Key(
            Record(
                {
                    "chip": Key(Text(), "CAN controller", inherited=True),
                    "oscillator_hz": Key(
                        Number(1_000_000, 80_000_000, "Hz", whole=True), "its crystal", inherited=True
                    ),
                    "interrupt_gpio": Key(
                        Number(0, 27, "(BCM)", whole=True), "GPIO of its interrupt pin", inherited=True
                    ),
                    "spi": Key(
                        Text(r"^spi[01]-[0-2]$", "a chip select such as spi0-0"), "SPI chip select", inherited=True
                    ),
                }
            ),
            "the chip on a CAN HAT",
        ),
        "power": Key(
            Record(
                {
                    "controller": Key(Text(), "what cuts and restores the power", inherited=True),
                    "sleep_below_v": Key(_VOLTAGE, "sleep when the 12 V system stays below", inherited=True),
                    "sleep_hold": Key(Duration(), "for this long", inherited=True),
                    "wake_above_v": Key(_VOLTAGE, "wake when it stays above", inherited=True),
                    "wake_hold": Key(Duration(), "for this long", inherited=True),
                    "off_command": Key(
                        ListOf(Text()),
                        "command that cuts the power, word by word; {wake_in_s}: seconds until it is wanted back",
                    ),
                    "off_when": Key(
                        Choice(("asleep", "protected")),
                        "asleep: the controller gives the power back; protected: only a person can",
                    ),
                    "awake_ma": Key(_CURRENT, "current at 12 V while reading or sending"),
                    "idle_ma": Key(_CURRENT, "current at 12 V parked with the power on"),
                    "off_ma": Key(_CURRENT, "current at 12 V with the power cut"),
                }
            ),
            "when to sleep and wake",
            inherited=True,
        ),
        "gnss": Key(Text(), "positioning receiver, or none"),
        "rtc": Key(Text(), "battery-backed clock, or none"),
        "config_txt": Key(
            ListOf(Text(r"^(dtparam|dtoverlay|enable_uart)=\S+$", "a line such as dtoverlay=…")), "lines for config.txt"
        ),
        "device_allow": Key(
            ListOf(Text(r"^(char-|block-|/dev/)\S+ [rwm]+$", "a device and its access such as 'char-ttyUSB rw'")),
            "devices the agent's unit may use",
        ),
        "groups": Key(ListOf(NAME), "groups the agent's unit joins"),
    }
)
