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
EXTRAS: Final = (("edge",), ("edge", "elm327"))
# The C libraries wheels are built for, up to that of Debian 12 (glibc 2.36); 2014 is 2.17.
PLATFORMS: Final = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)))


def requirements(extras: tuple[str, ...]) -> list[str]:
    """What ``pip install wearcast[…]`` asks for, without Wearcast itself, which is pure Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(entry for extra in extras for entry in optional[extra])]


def download(version: str, extras: tuple[str, ...], folder: Path) -> dict[str, int]:
    """Sizes in bytes of the wheels for one version of Python; SystemExit with pip's reason where one is missing."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", version, "--constraint", str(ROOT / "constraints.txt")]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run([*command, *requirements(extras)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Python {version} on arm64 would need a compiler:\n{done.stderr}")
    return {file.name: file.stat().st_size for file in folder.iterdir()}


def main() -> None:
    """Check every version and print the sizes."""
    for version in VERSIONS:
        for extras in EXTRAS:
            with tempfile.TemporaryDirectory(prefix="wearcast-arm64-") as name:
                sizes = download(version, extras, Path(name))
            compiled = sorted(file.split("-")[0] for file in sizes if not file.endswith("-none-any.whl"))
            largest = sorted((size, file.split("-")[0]) for file, size in sizes.items())[:-4:-1]
            told = ", ".join(f"{package} {size / 1e6:.1f} MB" for size, package in largest)
            total = f"{len(sizes)} wheels, {sum(sizes.values()) / 1e6:.1f} MB, no compiler"
            print(  # noqa: T201 - this is its output
                f"Python {version}, wearcast[{','.join(extras)}]: {total}\n"
                f"  compiled for arm64: {', '.join(compiled)}\n  largest: {told}"
            )


if __name__ == "__main__":
    main()
