"""An owner's copy of everything about them (GDPR Art. 15 and 20, PIPL Art. 45)."""

import tempfile
from collections.abc import Iterator
from typing import IO, Final

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from ingest.errors import RegistryError
from ingest.personal.access_log import record_access
from portal.errors import NotFoundError
from portal.guard import Database, OwnerOnly
from rules.personal.export import write_export

router = APIRouter(include_in_schema=False)
_IN_MEMORY_BYTES: Final = 4 * 1024 * 1024  # a larger one waits in a file without a name
_BLOCK_BYTES: Final = 256 * 1024


@router.get("/my-data")
def my_data(visit: OwnerOnly, connection: Database) -> StreamingResponse:
    """The ZIP, as a download."""
    assert visit.identity is not None
    assert visit.identity.subject_id is not None
    owner_id = visit.identity.subject_id
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed when it is sent
    try:
        write_export(connection, owner_id, file, visit.now)
    except RegistryError as error:
        raise NotFoundError(str(error)) from error
    record_access(connection, owner_id, role="owner", actor=str(owner_id), fields=["everything"], purpose="export")
    return StreamingResponse(
        _blocks(file),
        media_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="wearcast-my-data.zip"'},
    )


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while block := file.read(_BLOCK_BYTES):
            yield block
