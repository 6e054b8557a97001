"""Reading the machine's package sources and the archive's package records."""

from pathlib import Path

import pytest

from wearcast.embedded.apt import (
    PrivateApt,
    Source,
    debian_archives,
    machine_sources,
    parse_deb822,
    parse_one_line,
    parse_packages,
)
from wearcast.embedded.errors import AptError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = "http://mirror.example/debian"


def test_one_line_format_with_options_comments_and_sources() -> None:
    text = f"""
    # deb http://old.example/debian bullseye main
    deb {MIRROR} bookworm main contrib  # the nearest mirror
    deb-src {MIRROR} bookworm main
    deb [arch=amd64 signed-by={KEYRING}] {MIRROR} bookworm-updates main
    """
    assert parse_one_line(text) == [
        Source(uri=MIRROR, suites=("bookworm",), components=("main", "contrib")),
        Source(uri=MIRROR, suites=("bookworm-updates",), components=("main",), signed_by=KEYRING),
    ]


def test_deb822_format_with_several_uris_and_disabled_stanzas() -> None:
    text = f"""Types: deb deb-src
# a comment between fields
URIs: {MIRROR} http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main
"""
    assert parse_deb822(text) == [
        Source(uri=uri, suites=("bookworm", "bookworm-updates"), components=("main",), signed_by=KEYRING)
        for uri in (MIRROR, "http://second.example/debian")
    ]


def test_deb822_key_inside_the_source_keeps_its_lines() -> None:
    text = f"Types: deb\nURIs: {MIRROR}\nSuites: trixie\nComponents: main\nSigned-By:\n -----BEGIN-----\n .\n abc\n"
    assert parse_deb822(text)[0].signed_by == "-----BEGIN-----\n.\nabc"


def test_third_parties_are_left_out() -> None:
    debian = Source(uri=MIRROR, suites=("bookworm",), components=("main",), signed_by=KEYRING)
    others = [
        Source(uri="https://a.example/apt", suites=("cloud-sdk-bookworm",), components=("main",)),
        Source(uri="https://b.example/node_20.x", suites=("nodistro",), components=("main",)),
        Source(uri="https://c.example/linux/debian", suites=("bookworm",), components=("stable",)),
        Source(uri="http://d.example/debian-security", suites=("bookworm-security",), components=("main",)),
    ]
    assert debian_archives([*others, debian]) == [debian]


def test_an_archive_with_debians_key_goes_before_a_look_alike() -> None:
    look_alike = Source(
        uri="https://e.example/debian", suites=("bookworm",), components=("main",), signed_by="/etc/apt/keyrings/e.gpg"
    )
    no_key_elsewhere = Source(uri="http://f.example/mirror/", suites=("stable",), components=("main",))
    no_key = Source(uri="http://g.example/debian/", suites=("trixie",), components=("main",))
    assert debian_archives([look_alike, no_key_elsewhere, no_key]) == [no_key, no_key_elsewhere, look_alike]


def test_machine_sources_reads_both_formats_and_nothing_else(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.example/debian bookworm main\n")
    (parts / "two.list").write_text("deb http://two.example/debian bookworm main\n")
    (parts / "three.sources").write_text(
        "Types: deb\nURIs: http://three.example/debian\nSuites: trixie\nComponents: main\n"
    )
    (parts / "four.list.disabled").write_text("deb http://four.example/debian bookworm main\n")
    hosts = [source.uri.split("/")[2].partition(".")[0] for source in machine_sources(tmp_path)]
    assert hosts == ["one", "three", "two"]


def test_a_machine_without_debian_sources_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(AptError, match="no Debian archive"):
        PrivateApt(tmp_path / "apt", etc=tmp_path).update()


def test_package_records_give_dependencies_with_alternatives() -> None:
    text = """Package: server
Version: 1:17.1-0+deb13u1
Pre-Depends: libc6 (>= 2.38)
Depends: libpq5 (>= 17~), mail-reader | libmail1 (= 2) [amd64], perl:any
Size: 123
Description: a server

Package: server
Version: 1:16
Size: 1
"""
    package = parse_packages(text)["server"]
    assert (package.version, package.size) == ("1:17.1-0+deb13u1", 123)
    assert package.depends == (("libc6",), ("libpq5",), ("mail-reader", "libmail1"), ("perl",))
