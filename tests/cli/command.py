"""What a run of `mapc` comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Mapc: TypeAlias = Callable[..., Done]
