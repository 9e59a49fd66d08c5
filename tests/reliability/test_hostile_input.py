"""Checkpoints that lie: refused with one line that says where, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..runtime.toy_checkpoint import write_hf
from .commands import everything_below, run


def test_a_file_that_is_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_hf(tmp_path / "hf")
    file = source / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    before = everything_below(tmp_path)
    outcome = run(capsys, "to-mcore", source, tmp_path / "mcore")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"error: {file}: expected 3860 bytes of tensors, found 3859; it was cut off, fetch it again\n"
    )
    assert everything_below(tmp_path) == before
