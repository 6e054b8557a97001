"""Personal data as those see it who do not need it: enough to tell two apart, not enough to know either. Pure."""

import re
import unicodedata
from typing import Final

_HIDDEN: Final = "…"
_MOST_SHOWN: Final = 6  # initials, or stars: the length of a long name tells whose it is
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")  # RFC 3986, 3.1
_POSITION_DECIMALS: Final = 1  # degrees: 11 km north to south, a town and not a street


def mask_name(name: str) -> str:
    """Initials: ``A. B.`` of Ada Beispiel; of a name in Han characters the family name, ``王*`` or ``欧阳**``."""
    words = [word for word in re.split(r"[\s·]+", name.strip()) if word]
    if not words:
        return _HIDDEN
    if all(_is_han(char) for char in words[0]):
        whole = "".join(words)
        family = 2 if whole[:2] in _COMPOUND_SURNAMES and len(whole) > 2 else 1
        return whole[:family] + "*" * max(1, min(len(whole) - family, _MOST_SHOWN))
    # Only letters and digits: whoever is called by a sign alone stays hidden, and no control character gets through.
    initials = (next((char for char in word if char.isalnum()), None) for word in words)
    return " ".join([f"{initial.upper()}." for initial in initials if initial][:_MOST_SHOWN]) or _HIDDEN


def mask_email(email: str) -> str:
    """First letter and top-level domain: ``a…@….org``. A domain of one's own is a name too."""
    local, at, domain = email.rpartition("@")
    if not at or not local[:1].isalnum():
        return _HIDDEN
    return (
        f"{local[0]}{_HIDDEN}@{_HIDDEN}.{domain.rpartition('.')[2]}"
        if "." in domain
        else f"{local[0]}{_HIDDEN}@{_HIDDEN}"
    )


def mask_phone(phone: str) -> str:
    """The last two digits; nothing of a number too short to hide behind them."""
    digits = [char for char in phone if char.isdigit()]
    return _HIDDEN + "".join(digits[-2:]) if len(digits) >= 7 else _HIDDEN


def mask_channel(url: str) -> str:
    """The kind of a channel: all else of an Apprise address may be a number or a token."""
    scheme = channel_scheme(url)
    return f"{scheme}://{_HIDDEN}" if scheme else _HIDDEN


def channel_scheme(url: str) -> str:
    """The kind of a channel, ``tgram``; empty where the address is none."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def mask_position(latitude: float, longitude: float) -> tuple[float, float]:
    """Rounded to a tenth of a degree: about 11 km, and less from east to west."""
    return round(latitude, _POSITION_DECIMALS), round(longitude, _POSITION_DECIMALS)


def mask_vin(vin: str) -> str:
    """The last six characters, the serial number: what is engraved and asked for on the telephone."""
    return _HIDDEN + vin[-6:] if len(vin) > 6 else _HIDDEN


# The compound surnames in use; all others have one character. (Ministry of Public Security's yearly name report.)
_COMPOUND_SURNAMES: Final = frozenset(
    (
        "欧阳",
        "上官",
        "皇甫",
        "令狐",
        "诸葛",
        "司徒",
        "司马",
        "申屠",
        "夏侯",
        "贺兰",
        "完颜",
        "慕容",
        "尉迟",
        "长孙",
        "东方",
        "南宫",
        "公孙",
    )
)


def _is_han(char: str) -> bool:
    return "CJK" in unicodedata.name(char, "")
