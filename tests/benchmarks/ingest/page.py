"""``make ingest-page``: puts the rows of make bench-ingest and make bench-scale onto their pages in docs/."""

import json
from typing import Final

from tests.benchmarks.bench_row import RESULTS, ROOT
from tests.benchmarks.page_table import as_table, with_table

PAGES: Final = {"ingest": ROOT / "docs" / "ingest.md", "scale": ROOT / "docs" / "scaling.md"}


def main() -> None:
    """Fill the pages whose figures are there."""
    for name, page in PAGES.items():
        figures = RESULTS / f"{name}.json"
        if figures.exists():
            table = as_table(json.loads(figures.read_text(encoding="utf-8")))
            page.write_text(with_table(page.read_text(encoding="utf-8"), name, table), encoding="utf-8")


if __name__ == "__main__":
    main()
