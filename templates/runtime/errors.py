"""The error of every converter."""

from __future__ import annotations


class ConversionError(ValueError):
    """The checkpoint, its config or the mesh is refused; nothing was written.

    The message names the tensor or key, what was expected and found, and the way out.
    """
