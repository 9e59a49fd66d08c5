"""The tests that are generated with a converter pass, for maps of every kind: ties, variants, replicas, measured sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mapc.compiler import compile_file

MAPS = Path(__file__).parent / "maps"
CHOSEN = (
    "ceil",
    "config_formulas",
    "experts_in_names",
    "experts_stacked",
    "arithmetic",
    "computed_layers",
    "defaults",
    "definitions",
    "dtypes",
    "gpt_oss",
    "lists",
    "made",
    "measured",
    "nested_bounds",
    "mesh_left",
    "optional",
    "renaming",
    "replicas_in_names",
    "spellings",
    "tails",
    "tied_experts",
    "ties",
    "variants",
    "whole",
)


def test_they_pass(tmp_path: Path) -> None:
    for name in CHOSEN:
        made = compile_file(MAPS / f"{name}.map")
        (tmp_path / f"{made.stem}.py").write_text(made.module, encoding="utf-8")
        (tmp_path / f"test_{made.stem}.py").write_text(made.test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout, done.stdout[-3000:]
