"""A converter at work inside the compiler: its core, run on a config without any tensor.

`check` counts with it, `explain` looks names up in it, and the generated test takes its sizes from it. The core
imports the standard library only, so none of this needs torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .guard import Budget, counted

STEPS = 10_000_000  # loops over a large checkpoint


@contextmanager
def running(module: str, stem: str, steps: int = STEPS) -> Iterator[Mapping[str, Any]]:
    """The names of a converter's core while it is loaded. It raises TooMuch, a ValueError, after so many steps."""
    name = f"mapc_instance_{stem}"
    loaded = type(sys)(name)
    sys.modules[name] = loaded  # dataclasses look their module up there
    try:
        loaded.__dict__.update(Budget(steps).names())
        code = counted(module, f"<{stem}>")
        exec(code, loaded.__dict__)  # noqa: S102  text of our own making
        yield loaded.__dict__
    finally:
        del sys.modules[name]
