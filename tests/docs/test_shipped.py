"""The table of shipped maps has a row for each, and each row is what its converter says; MAPC_BLESS=1 writes it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "converters.md"
HEAD = "| map | | ranks | variants |\n|---|---|---|---|\n"


def test_the_table_of_shipped_maps() -> None:
    text = DOCUMENT.read_text()
    start = text.index(HEAD) + len(HEAD)
    end = text.index("\n\n", start - 1) + 1
    rows = "".join(map(row, sorted((ROOT / "dsl" / "maps").glob("*.map"))))
    if os.environ.get("MAPC_BLESS") == "1":
        DOCUMENT.write_text(text[:start] + rows + text[end:])
    else:
        assert text[start:end] == rows


def row(path: Path) -> str:
    module = importlib.import_module(f"mapc.generated.{path.stem}")
    title = (module.__doc__ or "").splitlines()[0]
    ranks = ", ".join(getattr(getattr(module, "Rank", None), "_fields", ()))
    variants = "; ".join(
        f"`{name}` {' or '.join(choices)}" for name, choices in module.VARIANTS.items()
    )
    return f"| `{path.stem}` | {title} | {ranks} | {variants} |\n"
