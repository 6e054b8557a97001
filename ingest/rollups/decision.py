"""Who maintains the storage, decided from what the server says. Pure: :mod:`ingest.rollups.server` carries it out.

Roll-ups and dropping are the same procedure of the database everywhere (``maintain_storage``). Where the licence has
them, TimescaleDB's own policies run it and compress old chunks; otherwise our process does. docs/storage.md tells why
neither its continuous aggregates nor its retention policy take the procedure's place.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ingest.database import License

Policies = Literal["native", "own"]  # what the operator wants: native where the licence has it, or our own everywhere
Scheduler = Literal["database", "process"]


class Action(StrEnum):
    """A change of the server, in the order in which several are made."""

    REMOVE_JOB = "remove the job of TimescaleDB's scheduler"
    REMOVE_COMPRESSION_POLICY = "remove the compression policy"
    DECOMPRESS = "decompress all chunks and disable compression"
    ENABLE_COMPRESSION = "enable compression"
    ADD_COMPRESSION_POLICY = "add the compression policy"
    ADD_JOB = "add the job to TimescaleDB's scheduler"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the server has now."""

    license: License | None
    job: bool  # maintain_storage is scheduled
    compression_policy: bool
    compression: bool  # enabled on `reading`
    compressed_chunks: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Who maintains, why, and what is to be changed first. ``fault``: maintenance must not run, and what to do."""

    scheduler: Scheduler
    compressed: bool  # old raw chunks are compressed
    reason: str
    actions: tuple[Action, ...] = ()
    fault: str | None = None


def decide(found: Found, wanted: Policies = "native") -> Decision:
    """Decide for a server; the actions are those still missing, so that deciding again after them gives none."""
    if found.license == "timescale" and wanted == "native":
        return Decision(
            scheduler="database",
            compressed=True,
            reason="licence timescale: its scheduler runs the job, its policy compresses",
            actions=_missing(
                (not found.compression, Action.ENABLE_COMPRESSION),
                (not found.compression_policy, Action.ADD_COMPRESSION_POLICY),
                (not found.job, Action.ADD_JOB),
            ),
        )
    if found.license == "timescale":
        return Decision(
            scheduler="process",
            compressed=False,
            reason="licence timescale, WEARCAST_STORAGE_POLICIES is own: wearcast db maintain runs everything",
            actions=_missing(
                (found.job, Action.REMOVE_JOB),
                (found.compression_policy, Action.REMOVE_COMPRESSION_POLICY),
                (found.compression, Action.DECOMPRESS),
            ),
        )
    # The server refuses to remove what it has not licensed: a job and a policy left over rest there and run no more.
    rest = "; a job left over cannot run and rests" if found.job or found.compression_policy else ""
    return Decision(
        scheduler="process",
        compressed=False,
        reason=f"licence {found.license or 'unknown'}: wearcast db maintain runs everything{rest}",
        fault=_unreadable(found.compressed_chunks),
    )


def _missing(*steps: tuple[bool, Action]) -> tuple[Action, ...]:
    return tuple(action for needed, action in steps if needed)


def _unreadable(chunks: int) -> str | None:
    """What the Apache edition does with compressed chunks: it reads them as empty, and takes no late row into them."""
    if not chunks:
        return None
    return (
        f"{chunks} chunks are compressed and read as empty under this licence: set timescaledb.license to timescale, "
        "run wearcast db maintain --once with WEARCAST_STORAGE_POLICIES=own, which decompresses them, and switch then"
    )
