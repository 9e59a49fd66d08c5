"""`make bench` runs to its end, and all that it converts is right. On tiny models, once each; no time is looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .compare import differences, unequal_files
from .files import Spec, read_folder, write_file
from .works import WORKS, Peer, shortened

ROOT = Path(__file__).parents[2]
PEERS = [work for work in WORKS if isinstance(work, Peer)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What one run says, which has removed all that it made."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "tests.benchmarks", "--quick"]
    command += ["--work", str(folder / "work"), "--json", str(folder / "rows.json")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "work").exists()
    measured: list[dict[str, Any]] = json.loads((folder / "rows.json").read_text())[
        "rows"
    ]
    return measured


def test_every_work_is_measured_and_right(rows: list[dict[str, Any]]) -> None:
    works = {work.name: work for work in shortened(WORKS)}
    assert works.keys() == {row["work"] for row in rows}
    ours = [row for row in rows if not isinstance(works[row["work"]], Peer)]
    assert [row for row in ours if row["wrong"] or row["note"]] == []
    assert [row for row in ours if not row["ours"] and row["memory"] is None] == []


@pytest.mark.parametrize("work", PEERS, ids=lambda work: work.name.replace(" ", "-"))
def test_a_peer_does_the_same(rows: list[dict[str, Any]], work: Peer) -> None:
    (row,) = (row for row in rows if row["work"] == work.name)
    if row["note"].startswith("not run: not installed"):
        pytest.skip(row["note"])
    assert row["note"] == "" and row["wrong"] == [] and row["base"]


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
