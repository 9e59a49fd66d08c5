"""Sizes as text."""

from __future__ import annotations

import pytest
from mapc.templates.runtime.sizes import parse_size, size_text


@pytest.mark.parametrize(
    "text, size",
    [
        ("5GB", 5_000_000_000),
        ("5GiB", 5 * 2**30),
        ("1.5 MB", 1_500_000),
        ("64KiB", 65536),
        ("2TB", 2 * 10**12),
        ("17", 17),
        ("17B", 17),
        (123, 123),
    ],
)
def test_size(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "5 GBB", "0", "-1GB", "5gb", "nan", "infGB", 0, -3]
)
def test_no_size(text: int | str) -> None:
    with pytest.raises(ValueError) as error:
        parse_size(text)
    assert str(error.value) == f"expected a size such as 5GB or 2GiB, found {text!r}"


def test_text() -> None:
    sizes = (0, 999, 1000, 1_580_000, 673 * 10**9)
    assert [size_text(size) for size in sizes] == [
        "0 bytes",
        "999 bytes",
        "1.00 KB",
        "1.58 MB",
        "673.00 GB",
    ]
