"""What differs between python-can's interfaces: who sets the bit rate, how one listens only, what helps in failure."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass

import can

SOCKETCAN, SLCAN, GS_USB, PCAN = "socketcan", "slcan", "gs_usb", "pcan"


@dataclass(frozen=True, kw_only=True)
class CanInterface:
    """One interface of python-can.

    ``rated``: the bit rate is this program's to set; ``bit_rates``: those it has, None for any. ``listening``: options
    that make it listen only, None where it cannot be told. ``numbered``: its channel is a number.
    """

    rated: bool = True
    bit_rates: frozenset[int] | None = None
    listening: Mapping[str, object] | None = None
    numbered: bool = False


_SLCAN_RATES = frozenset({10_000, 20_000, 50_000, 83_300, 100_000, 125_000, 250_000, 500_000, 750_000, 1_000_000})
_INTERFACES: Mapping[str, CanInterface] = {
    SOCKETCAN: CanInterface(rated=False),  # the system sets it up, listening only or not
    SLCAN: CanInterface(bit_rates=_SLCAN_RATES, listening={"listen_only": True}),
    GS_USB: CanInterface(numbered=True),
    PCAN: CanInterface(listening={"state": can.BusState.PASSIVE}),
    "udp_multicast": CanInterface(rated=False),
    "virtual": CanInterface(rated=False),
}


def interface_named(name: str) -> CanInterface:
    """What is known of an interface; of one that is not known, that it takes a bit rate."""
    return _INTERFACES.get(name, CanInterface())


def set_up_command(channel: str, bit_rate: int = 500_000, *, listen_only: bool = True) -> str:
    """How a SocketCAN interface is given its bit rate; listening only, since a wrong rate disturbs the car."""
    mode = "on" if listen_only else "off"
    return (
        f"'ip link set {channel} down; ip link set {channel} type can bitrate {bit_rate} listen-only {mode}; "
        f"ip link set {channel} up'"
    )


def remedy(interface: str, channel: str, error: Exception) -> str:
    """What to do about an interface that fails with this error."""
    number = _number(error)
    if interface == SOCKETCAN:
        return _socketcan_remedy(channel, number)
    if interface == SLCAN:
        return _serial_remedy(channel, number, str(error))
    if interface == GS_USB:
        if isinstance(error, ImportError | can.CanInterfaceNotImplementedError):
            return (
                "'pip install gs_usb' and libusb are missing; or let the kernel drive it: 'modprobe gs_usb', and it is "
                "the SocketCAN interface can0"
            )
        return "is the adapter plugged in, and may this user open it? A udev rule or the group plugdev allows it"
    if interface == PCAN:
        if "library not found" in str(error) or isinstance(error, ImportError):
            return (
                "PEAK's PCAN-Basic library is missing; or let the kernel drive it: 'modprobe peak_usb', and it is the "
                "SocketCAN interface can0"
            )
        return "is the adapter plugged in? Channels are called PCAN_USBBUS1 and so on"
    if interface == "udp_multicast":
        return "multicast needs a route: 'ip route add 239.0.0.0/8 dev lo' gives one"
    if isinstance(error, can.CanInterfaceNotImplementedError):
        return f"interfaces for cars are {SOCKETCAN}, {SLCAN}, {GS_USB} and {PCAN}"
    return "is it up, and may this user open it?"


def _socketcan_remedy(channel: str, number: int | None) -> str:
    if number == errno.EAFNOSUPPORT:
        return "this kernel has no CAN: 'modprobe can_raw'"
    if number == errno.ENODEV:
        return f"there is no {channel}: 'ip link' lists what there is; check cable, driver or the HAT's dtoverlay line"
    if number == errno.ENETDOWN:
        return f"{channel} is down; {set_up_command(channel)} brings it up"
    if number == errno.ENOBUFS:
        return (
            f"nothing goes out: nobody acknowledges, or {channel} listens only; ignition on, right bit rate, CAN high "
            f"and low in place, then {set_up_command(channel, listen_only=False)}"
        )
    return f"is {channel} up, and may this user open it?"


def _serial_remedy(channel: str, number: int | None, text: str) -> str:
    if number == errno.ENOENT or "No such file" in text:
        return f"there is no {channel}; is the adapter plugged in? 'ls /dev/serial/by-id' lists what there is"
    if number == errno.EACCES or "Permission denied" in text:
        return f"this user may not open {channel}: 'sudo usermod -aG dialout $USER', and log in again"
    if "serial module" in text:
        return "'pip install pyserial' is missing"
    return "is it a CAN adapter with slcan, and used by nobody else?"


def _number(error: BaseException | None) -> int | None:
    """Give the error number of the system, however python-can has wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if isinstance(error, can.CanError) and error.error_code is not None:
            return error.error_code
        error = error.__cause__ or error.__context__
    return None
