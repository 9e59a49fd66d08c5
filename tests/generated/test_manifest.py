"""Maps without a committed converter: what they say is pinned, and `mapc vendor` makes a converter of them.

The manifest has the digest that the first line of a converter has, of the map and of all that it includes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mapc.compiler.driver import plan_file

ROOT = Path(__file__).parents[2]
MORE = ROOT / "dsl" / "maps" / "more"
MAPS = sorted(MORE.glob("*.map"))
RENEW = """\
what the maps in dsl/maps/more say has changed, in their own text or in a part that they include.
If that is meant: MAPC_BLESS=1 .venv/bin/python -m pytest tests/generated/test_manifest.py
writes dsl/maps/more/MANIFEST; commit it with the maps.
"""

every_map = pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
# The torch_dist layouts are of the same few parts: one of them in each run, the others in the long one.
OFTEN = "phi3_hf_mcore_dist"
most_maps = pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=(
                pytest.mark.long
                if path.stem.endswith("_dist") and path.stem != OFTEN
                else ()
            ),
        )
        for path in MAPS
    ],
)


def test_the_manifest_pins_what_the_maps_say() -> None:
    text = "".join(f"{plan_file(path).digest}  {path.name}\n" for path in MAPS)
    if os.environ.get("MAPC_BLESS") == "1":
        (MORE / "MANIFEST").write_text(text)
    assert (MORE / "MANIFEST").read_text() == text, RENEW


@every_map
def test_no_converter_is_committed(path: Path) -> None:
    assert not (ROOT / "generated" / f"{path.stem}.py").exists()
    assert not (ROOT / "dsl" / "maps" / path.name).exists()


@most_maps
def test_vendor_makes_a_converter_that_passes_its_test(
    path: Path, tmp_path: Path
) -> None:
    """A part of that test; `pytest -m long` runs all of it."""
    vendor(path, tmp_path)
    done = run(path, tmp_path, "-k", "what_the_map_says or config")
    assert done.returncode == 0, done.stdout


@pytest.mark.long
@every_map
def test_all_of_its_test(path: Path, tmp_path: Path) -> None:
    vendor(path, tmp_path)
    done = run(path, tmp_path)
    assert done.returncode == 0, done.stdout


def vendor(path: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "mapc.compiler", "vendor", path.stem, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    first = (folder / f"{path.stem}.py").read_text().splitlines()[0]
    pinned = (MORE / "MANIFEST").read_text().splitlines()
    (digest,) = (line.split()[0] for line in pinned if line.endswith(f"  {path.name}"))
    assert f"sha256 {digest}" in first, RENEW


def run(path: Path, folder: Path, *chosen: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", f"test_{path.stem}.py", *chosen]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
