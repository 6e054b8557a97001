"""A private apt: resolves, fetches and unpacks Debian packages without root and without touching the machine.

It has state and cache folders of its own and an empty status file, and takes the archive's address and key
from the machine's own sources. The machine's apt.conf (proxies, certificates) stays in force. Standard
library only.
"""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wearcast.embedded.errors import AptError

SUITE = "trixie"  # Debian 13, the first release with a packaged TimescaleDB for PostgreSQL 17
_ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEBIAN_SUITES = frozenset(
    {"bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"},
)
_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>.*)$")
_MISSING_KEY = re.compile(r"NO_PUBKEY|Missing key|is not signed|could(?:n't| not) be verified", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of binary packages. `signed_by`: a key file, key text, or empty (apt's trusted keys)."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One version of a package in the archive."""

    name: str
    version: str
    size: int  # bytes, of the .deb
    depends: tuple[tuple[str, ...], ...] = ()  # all of these, of each any one alternative


def parse_one_line(text: str) -> list[Source]:
    """Read the one-line format of sources.list(5); deb-src lines are left out."""
    found = []
    for raw in text.splitlines():
        match = _ONE_LINE.match(raw.split("#", 1)[0].strip())
        if match is None:
            continue
        options = dict(item.split("=", 1) for item in (match["options"] or "").split() if "=" in item)
        found.append(
            Source(
                uri=match["uri"],
                suites=(match["suite"],),
                components=tuple(match["components"].split()),
                signed_by=options.get("signed-by", ""),
            )
        )
    return found


def parse_deb822(text: str) -> list[Source]:
    """Read the deb822 format of sources.list(5); disabled stanzas and deb-src are left out."""
    found: list[Source] = []
    for fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").strip().lower() in {"no", "false", "0", "off", "without", "disable"}:
            continue
        found.extend(
            Source(
                uri=uri,
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=fields.get("signed-by", "").strip(),
            )
            for uri in fields.get("uris", "").split()
        )
    return found


def _stanzas(text: str) -> list[dict[str, str]]:
    stanzas: list[dict[str, str]] = [{}]
    key = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            stanzas.append({})
            key = ""
        elif line[0] in " \t":
            if key:
                stanzas[-1][key] += "\n" + line[1:]
        elif ":" in line:
            name, value = line.split(":", 1)
            key = name.strip().lower()
            stanzas[-1][key] = value.strip()
    return [stanza for stanza in stanzas if stanza]


def machine_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Return the machine's package sources, in the order apt reads them."""
    found: list[Source] = []
    main = etc / "sources.list"
    if main.is_file():
        found += parse_one_line(main.read_text(errors="replace"))
    for path in sorted((etc / "sources.list.d").glob("*")):
        if path.suffix == ".list":
            found += parse_one_line(path.read_text(errors="replace"))
        elif path.suffix == ".sources":
            found += parse_deb822(path.read_text(errors="replace"))
    return found


def debian_archives(sources: Iterable[Source]) -> list[Source]:
    """Return the sources that look like Debian's main archive, the likeliest first.

    A third party's archive may copy Debian's suite names, so its key decides first, then the usual last part
    of the path.
    """
    likely = [source for source in sources if "main" in source.components and _DEBIAN_SUITES & set(source.suites)]

    def rank(source: Source) -> tuple[bool, bool]:
        return (
            bool(source.signed_by) and "debian-archive" not in source.signed_by,
            source.uri.rstrip("/").rpartition("/")[2] != "debian",
        )

    unique: dict[str, Source] = {}
    for source in sorted(likely, key=rank):
        unique.setdefault(source.uri, source)
    return list(unique.values())


def parse_packages(text: str) -> dict[str, Package]:
    """Read the stanzas `apt-cache show` prints; of several versions the first, which apt would install."""
    packages: dict[str, Package] = {}
    for fields in _stanzas(text):
        if "package" not in fields or "version" not in fields:
            continue
        relations = ", ".join(filter(None, (fields.get("pre-depends", ""), fields.get("depends", ""))))
        packages.setdefault(
            fields["package"],
            Package(
                name=fields["package"],
                version=fields["version"],
                size=int(fields.get("size", "0")),
                depends=tuple(
                    tuple(re.split(r"[\s(:\[]", option.strip(), maxsplit=1)[0] for option in group.split("|"))
                    for group in relations.split(",")
                    if group.strip()
                ),
            ),
        )
    return packages


class PrivateApt:
    """An apt of its own below `folder`. Call `update` once, then `resolve`, `download` and `unpack`."""

    def __init__(self, folder: Path, *, suite: str = SUITE, etc: Path = Path("/etc/apt")) -> None:
        self._folder = folder
        self._suite = suite
        self._etc = etc
        self._config = folder / "apt.conf"

    def update(self) -> None:
        """Fetch the package lists from the first archive that answers and is signed with a key we have.

        Raises AptError, in one sentence, where the machine has no apt or sources, no network, or not the key.
        """
        archives = debian_archives(machine_sources(self._etc))
        if not archives:
            raise AptError(
                "The machine's apt sources name no Debian archive to fetch packages from: use Debian 12 or 13."
            )
        self._prepare()
        failure = AptError("No archive was tried.")
        for archive in archives:
            self._write_source(archive)
            try:
                self._run("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")
            except AptError as error:
                failure = error
            else:
                return
        raise failure

    def resolve(self, names: Sequence[str], *, follow: Callable[[str], bool]) -> list[Package]:
        """Return the named packages and, through those dependencies that `follow` accepts, all they need."""
        chosen: dict[str, Package] = {}
        wanted: list[tuple[str, ...]] = [(name,) for name in names]
        while wanted:
            shown = self._show(sorted({name for group in wanted for name in group}))
            upcoming: set[tuple[str, ...]] = set()
            for group in wanted:
                package = next((shown[name] for name in group if name in shown), None)
                if package is None:
                    raise AptError(f"The Debian archive ({self._suite}) has no package {' or '.join(group)}.")
                if package.name not in chosen:
                    chosen[package.name] = package
                    upcoming.update(kept for group_ in package.depends if (kept := tuple(filter(follow, group_))))
            wanted = [group for group in sorted(upcoming) if not any(name in chosen for name in group)]
        return list(chosen.values())

    def download(self, packages: Sequence[Package]) -> list[Path]:
        """Fetch the packages' .deb files (apt checks their hashes) and return their paths."""
        target = self._folder / "debs"
        target.mkdir(exist_ok=True)
        self._run("apt-get", "download", "-q", *(f"{item.name}={item.version}" for item in packages), cwd=target)
        return [self._deb(target, item) for item in packages]

    @staticmethod
    def unpack(debs: Sequence[Path], root: Path) -> None:
        """Unpack the files of the packages into `root`; no maintainer script runs."""
        root.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda deb: _call(["dpkg-deb", "-x", str(deb), str(root)], cwd=None), debs))

    def _prepare(self) -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "empty"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        folder = self._folder
        # Given with -c, this file is read after the machine's own configuration and so has the last word.
        self._config.write_text(
            "\n".join(
                [
                    "#clear APT::Update::Pre-Invoke;",
                    "#clear APT::Update::Post-Invoke;",
                    "#clear APT::Update::Post-Invoke-Success;",
                    "#clear APT::Default-Release;",
                    'APT::Sandbox::User "";',
                    'Acquire::Languages "none";',
                    'Acquire::Retries "2";',
                    'Acquire::http::Timeout "30";',
                    'Acquire::https::Timeout "30";',
                    f'Dir::State "{folder}/state";',
                    f'Dir::State::status "{folder}/status";',
                    f'Dir::Cache "{folder}/cache";',
                    'Dir::Cache::pkgcache "pkgcache.bin";',
                    'Dir::Cache::srcpkgcache "srcpkgcache.bin";',
                    f'Dir::Etc::sourcelist "{folder}/sources.list";',
                    f'Dir::Etc::sourceparts "{folder}/empty";',
                    'Dir::Etc::preferences "/dev/null";',
                    f'Dir::Etc::preferencesparts "{folder}/empty";',
                    "",
                ]
            )
        )

    def _write_source(self, archive: Source) -> None:
        signed_by = archive.signed_by
        if "\n" in signed_by:  # the key itself stands in the source, its blank lines written as dots
            key = self._folder / "archive-key.asc"
            key.write_text("\n".join("" if line.strip() == "." else line for line in signed_by.splitlines()) + "\n")
            signed_by = str(key)
        elif not signed_by and _ARCHIVE_KEYRING.is_file():
            signed_by = str(_ARCHIVE_KEYRING)
        architecture = _call(["dpkg", "--print-architecture"], cwd=None).strip()
        # Only the package index: contents, icons and translations would be ten times as much.
        options = f"arch={architecture} target=Packages" + (f" signed-by={signed_by}" if signed_by else "")
        line = f"deb [{options}] {archive.uri} {self._suite} main\n"
        (self._folder / "sources.list").write_text(line)

    def _show(self, names: Sequence[str]) -> dict[str, Package]:
        return parse_packages(self._run("apt-cache", "show", "--no-all-versions", *names, accept_failure=True))

    @staticmethod
    def _deb(folder: Path, package: Package) -> Path:
        prefix = f"{package.name}_{package.version.replace(':', '%3a')}_"
        found = sorted(folder.glob(f"{prefix}*.deb"))
        if not found:
            raise AptError(f"apt said that it fetched {package.name}, but {folder} has no {prefix}*.deb.")
        return found[0]

    def _run(self, program: str, *args: str, cwd: Path | None = None, accept_failure: bool = False) -> str:
        return _call([program, "-c", str(self._config), *args], cwd=cwd, accept_failure=accept_failure)


def _call(command: Sequence[str], *, cwd: Path | None, accept_failure: bool = False) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise AptError(f"This machine has no {command[0]}: Debian packages can be fetched on Debian only.") from error
    if done.returncode == 0 or accept_failure:
        return done.stdout
    complaint = "; ".join(
        line[2:].strip() for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))
    ) or done.stderr.strip().replace("\n", "; ")
    if _MISSING_KEY.search(complaint):
        raise AptError(
            f"The key of Debian {SUITE} is missing here: as root run "
            f"'apt-get update && apt-get install debian-archive-keyring' ({complaint[:200]})."
        )
    raise AptError(f"'{shlex.join(command[:1])} {command[3] if len(command) > 3 else ''}' failed: {complaint[:400]}")
