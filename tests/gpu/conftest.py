"""Kernels without a GPU: triton interprets them on tensors of the CPU."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

import pytest

HAS_WHEELS = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")


@pytest.fixture(scope="module")
def interpreted() -> Iterator[None]:
    """Tensors of the CPU have kernels, as long as the tests of a module run."""
    if not HAS_WHEELS:
        pytest.skip("triton has no wheels for this system")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        yield
