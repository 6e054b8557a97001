"""The JSON API as an OpenAPI document: ``docs/openapi.json`` is this, and a test compares the two.

``python -m portal.openapi`` writes it anew.
"""

import json
from pathlib import Path
from typing import Any

from portal.app import create_app
from portal.config import PortalConfig

PATH = Path(__file__).parent.parent / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """The document."""
    unused = PortalConfig(database_url="", secret="x" * 32, portal_url="http://127.0.0.1:8080")
    return create_app(unused).openapi()


def as_text() -> str:
    """The document as it is stored."""
    return json.dumps(document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(as_text(), encoding="utf-8")
