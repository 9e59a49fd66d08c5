"""`python -m tests.benchmarks.gpu` runs to its end without a GPU, all that it converts is right, and what is wrong is seen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .gpu_clock import same_bits
from .gpu_conversions import Row
from .gpu_models import MODELS
from .gpu_table import BEGIN, END, page, write_page

ROOT = Path(__file__).parents[2]


def test_it_runs_on_the_cpu(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="triton is not installed")
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--device", "cpu"]
    found = tmp_path / "rows.json"
    done = subprocess.run(
        [*command, "--json", str(found)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(found.read_text())["rows"]
    assert [row["wrong"] for row in rows] == [[]] * len(rows)
    assert {row["model"] for row in rows} == {
        *(f"{model.name}, tiny" for model in MODELS),
        "kernels",
    }
    made = [row for row in rows if row["launches"]]
    assert len(made) >= 11 and max(row["launches"] for row in made) <= 8
    assert not any(row["times"] for row in rows)


def test_a_bit_is_seen() -> None:
    one = torch.linspace(-2, 2, 77).bfloat16().view(7, 11)
    other = one.clone()
    assert same_bits(one, other)
    other.view(torch.int16)[3, 5] ^= 1
    assert not same_bits(one, other)
    assert not same_bits(one, one.t()) and not same_bits(one, one.half())


def test_a_page_is_written_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "gpu.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    times = {"copy": [9.0, 1.0, 9.0], "prepared": [10.0, 10.0, 30.0]}
    row = Row("model", "there", 2 * 10**9, 0.9, times=times)
    write_page(path, page({"a": "card"}, [row], []))
    before, *_, after = path.read_text().splitlines()
    assert (before, after) == ("before", "after")
    (line,) = (n for n in path.read_text().splitlines() if n.startswith("| model | t"))
    assert line.split(" | ")[1:7] == ["there", "2.00", "9.00", "10.00", "0.90", "0.90"]
    path.write_text("nothing")
    with pytest.raises(ValueError, match="expected the lines"):
        write_page(path, "")
