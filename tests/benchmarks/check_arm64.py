"""``make check-arm64``: whether a 64-bit Raspberry Pi installs ``wearcast[edge]`` without a compiler, and its size.

pip is asked for the wheels of that machine alone, at the pinned versions; a package that only comes as source, or has
no wheel for it, ends the check. Needs the package index, so it is no part of the tests.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
VERSIONS: Final = ("3.11", "3.12", "3.13")  # Debian 12 has 3.11, Debian 13 3.13
# The C libraries wheels are built for, up to that of Debian 12 (glibc 2.36); 2014 is 2.17.
PLATFORMS: Final = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)))


def requirements() -> list[str]:
    """What ``pip install wearcast[edge]`` asks for, without Wearcast itself, which is pure Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["edge"]]


def download(version: str, folder: Path) -> list[Path]:
    """The wheels for one version of Python; SystemExit with pip's reason where one is missing."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", version, "--constraint", str(ROOT / "constraints.txt")]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run([*command, *requirements()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Python {version} on arm64 would need a compiler:\n{done.stderr}")
    return sorted(folder.iterdir())


def main() -> None:
    """Check every version and print the sizes."""
    for version in VERSIONS:
        with tempfile.TemporaryDirectory(prefix="wearcast-arm64-") as name:
            files = download(version, Path(name))
            sizes = {file.name: file.stat().st_size for file in files}
        compiled = {name: size for name, size in sizes.items() if not name.endswith("-none-any.whl")}
        print(f"Python {version}: {len(sizes)} wheels, {sum(sizes.values()) / 1e6:.1f} MB, no compiler. Compiled ones:")  # noqa: T201 - this is its output
        for name, size in compiled.items():
            print(f"{size / 1e6:>8.2f} MB  {name.split('-')[0]} ({name.rsplit('-', 1)[1].removesuffix('.whl')})")  # noqa: T201 - this is its output
        heaviest = sorted((size, name.split("-")[0]) for name, size in sizes.items())[:-4:-1]
        told = ", ".join(f"{name} {size / 1e6:.1f} MB" for size, name in heaviest)
        print(f"  largest: {told}")  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
