"""Kernels without a GPU: triton interprets them on tensors of the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def interpreted() -> Iterator[None]:
    """Tensors of the CPU have kernels, as long as the tests of a module run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")  # before it is imported
        patch.setenv("MAPC_KERNELS", "interpreted")
        pytest.importorskip("triton", reason="triton is not installed")
        yield
