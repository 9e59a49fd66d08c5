"""The maps that are installed with the compiler: `mapc list`, and their texts for `mapc vendor`."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files

import click

from ..dsl import syntax
from ..dsl.parser import parse
from ..dsl.source import Source
from .answer import Answer
from .resolve import title
from .table import columns


def shipped_maps() -> Answer:
    """Every shipped map: its name, its two layouts, what it converts."""
    found = [(name, *_header(name, text)) for name, text in _shipped().items()]
    rows = [(name, f"{left} <-> {right}", what) for name, left, right, what in found]
    data = [
        {"name": name, "layouts": [left, right], "title": what}
        for name, left, right, what in found
    ]
    return Answer("\n".join(columns(rows)), data)


def shipped_text(name: str) -> str:
    """The text of a shipped map; a usage error where none has that name."""
    found = _shipped()
    if name not in found:
        close = get_close_matches(name, found, n=1)
        nearest = (
            f"the nearest is `{close[0]}`"
            if close
            else "`mapc list` shows those there are"
        )
        raise click.BadParameter(
            f"no shipped map is called `{name}`; {nearest}", param_hint="NAME"
        )
    return found[name]


def _shipped() -> dict[str, str]:
    """The texts of the maps, by name and sorted; of those in `more` no converter is committed."""
    folder = files("mapc.dsl") / "maps"
    texts = {
        file.name.removesuffix(".map"): file.read_text("utf-8")
        for place in (folder, folder / "more")
        for file in place.iterdir()
        if file.name.endswith(".map")
    }
    return dict(sorted(texts.items()))


def _header(name: str, text: str) -> tuple[str, str, str]:
    """The left and the right layout, and what the map converts."""
    parsed = parse(Source(f"{name}.map", text))
    header = next(item for item in parsed.items if isinstance(item, syntax.Map))
    return header.left, header.right, title(parsed)
