"""Texts kept beside their inputs: compared as a whole, written anew with MAPC_BLESS=1."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def same_as() -> Callable[[Path, str], None]:
    """Compares a text with the file that keeps it."""

    def compare(path: Path, text: str) -> None:
        if os.environ.get("MAPC_BLESS") == "1":
            path.write_text(text, encoding="utf-8", newline="")
        assert (
            path.exists()
        ), f"{path.name} is missing: run once with MAPC_BLESS=1, and read it"
        assert text == path.read_bytes().decode()

    return compare
