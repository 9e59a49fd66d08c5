"""Settings and fixtures of all tests. Found by pytest; a test imports nothing from here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that a failure is seen again; other ones, and more, where MAPC_LONG=1 is set.
# No deadline, because a busy machine is no failure.
settings.register_profile(
    "mapc", deadline=None, derandomize=not os.environ.get("MAPC_LONG"), print_blob=True
)
settings.load_profile("mapc")


@pytest.fixture
def same_as() -> Callable[[Path, str], None]:
    """Compares a text with the file that keeps it, which MAPC_BLESS=1 writes anew."""

    def compare(path: Path, text: str) -> None:
        if os.environ.get("MAPC_BLESS") == "1":
            path.write_text(text, encoding="utf-8", newline="")
        assert (
            path.exists()
        ), f"{path.name} is missing: run once with MAPC_BLESS=1, and read it"
        assert text == path.read_bytes().decode()

    return compare
