"""Stands in for the mapping part of a converter, which defines this name. Not spliced."""

from __future__ import annotations

from .layouts import Converter


def converter() -> Converter:
    """The two layouts of this converter and how they map to each other."""
    raise NotImplementedError
