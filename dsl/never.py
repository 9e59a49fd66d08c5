"""`typing.assert_never`, which Python 3.10 does not have."""

from __future__ import annotations

from typing import NoReturn


def assert_never(value: NoReturn) -> NoReturn:
    """Close a `match` over a union: a type checker proves that this is never reached."""
    raise AssertionError(f"not a case: {value!r}")
