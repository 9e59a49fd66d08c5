"""docs/families.md has a row for each shipped map, and each row is what the map says; MAPC_BLESS=1 writes them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from mapc.compiler.driver import plan_file

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "families.md"
HEAD = (
    "| family | map | statements | ranks | variants | converter |\n"
    "|---|---|---|---|---|---|\n"
)
MAPS = ROOT / "dsl" / "maps"


def test_the_table_of_families() -> None:
    paths = [*MAPS.glob("*.map"), *(MAPS / "more").glob("*.map")]
    rows = "".join(map(row, sorted(paths, key=lambda path: path.name)))
    text = DOCUMENT.read_text()
    start = text.index(HEAD) + len(HEAD)
    end = text.index("\n\n", start - 1) + 1
    if os.environ.get("MAPC_BLESS") == "1":
        DOCUMENT.write_text(text[:start] + rows + text[end:])
    else:
        assert text[start:end] == rows


def row(path: Path) -> str:
    plan = plan_file(path)
    map_ = plan.proven.hir
    family, layouts = plan.title.split(": ", 1)
    kinds = Counter(kind for proof in plan.proven.every for kind in proof.kinds)
    counted = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    ranks = ", ".join(map_.sharded.dims) if map_.sharded else ""
    variants = "; ".join(
        f"`{one.name}` {' or '.join(one.choices)}" for one in map_.variants
    )
    made = "vendor" if path.parent.name == "more" else "committed"
    return (
        f"| {family}: {layouts} | `{path.stem}` | {len(plan.proven.every)}: {counted} | {ranks} | {variants} "
        f"| {made} |\n"
    )
