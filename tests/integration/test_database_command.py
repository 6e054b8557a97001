"""What the command says of a database that is not ready."""

import pytest
from typer.testing import CliRunner

from ingest.errors import DatabaseError
from wearcast.cli import app

pytestmark = pytest.mark.database


@pytest.mark.parametrize("arguments", [("db", "status"), ("ingest", "rejected"), ("rules", "alerts")], ids=" ".join)
def test_a_database_without_the_schema_is_named_with_what_to_do(
    arguments: tuple[str, ...], empty_database_url: str
) -> None:
    result = CliRunner().invoke(app, arguments, env={"WEARCAST_DATABASE_URL": empty_database_url})
    assert isinstance(result.exception, DatabaseError)
    assert "run: wearcast db migrate" in str(result.exception)
