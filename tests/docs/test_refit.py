"""The script of docs/refit.md where something is wrong: trainer and engine say so, and the engine leaves nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from .blocks import ROOT

LOST = "decoder.layers.1.mlp.linear_fc2.weight"
# What a process does: the trainers have lost a tensor.
PROCESS = f"""
import sys, refit
made = refit.to_mcore
refit.to_mcore = lambda *how: [one for one in made(*how) if one[0] != {LOST!r}]
refit.run(int(sys.argv[1]), sys.argv[2])
"""


def test_the_engine_is_told(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "hf")
    shutil.copy(ROOT / "docs" / "refit.py", tmp_path)
    shutil.copy(ROOT / "generated" / "llama_hf_mcore.py", tmp_path)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), str(tmp_path / "meeting")],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    said = [process.communicate(timeout=100)[1] for process in started]
    text = (
        f"{LOST} (rank tp=0 pp=0): missing when the stream was closed (and 1 more); "
        "0 bytes wait for it"
    )
    for rank, error in {
        0: f"llama_hf_mcore.ConversionError: {text}",
        2: f"RuntimeError: the trainers gave up: {text}",
    }.items():
        # Gloo may abort a process that ends after its peers, when it has said what was wrong.
        assert started[rank].returncode in (1, -signal.SIGABRT)
        lines = [one.removeprefix(f"[rank{rank}]: ") for one in said[rank].splitlines()]
        assert error in lines
    assert not (tmp_path / "received.safetensors").exists()
