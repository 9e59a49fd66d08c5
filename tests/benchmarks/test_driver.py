"""`make bench` runs to its end, and all that it converts is right. On tiny models, once each; no time is looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from .compare import differences, unequal_files
from .files import Spec, read_folder, write_file
from .works import WORKS, shortened

ROOT = Path(__file__).parents[2]


def test_every_work_is_measured_and_right(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--json", str(file)]
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert {work.name for work in shortened(WORKS)} == {row["work"] for row in rows}
    assert [row for row in rows if row["wrong"] or row["note"]] == []
    assert [row for row in rows if not row["ours"] and row["memory"] is None] == []
    assert not (tmp_path / "work").exists()


def test_a_wrong_output_is_seen(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", {"a": Spec("BF16", (4, 6))}, 1)
    bits = np.array(read_folder(tmp_path)["a"].bits)
    changed = bits.copy()
    changed[3, 5] ^= 1
    assert differences(tmp_path, [("a", bits)]) == []
    assert differences(tmp_path, [("a", changed)]) == ["a differs"]
    assert differences(tmp_path, [("a", bits.T)]) == ["a differs"]
    assert differences(tmp_path, [("b", bits)]) == ["b is missing", "a is too many"]


def test_a_file_that_is_not_the_same_is_seen(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, text in ((one, "abc"), (two, "abd")):
        folder.mkdir()
        (folder / "same").write_text("same")
        (folder / "file").write_text(text)
    assert unequal_files(one, one) == []
    (two / "more").write_text("")
    assert [line.split()[0] for line in unequal_files(one, two)] == ["file", "more"]
