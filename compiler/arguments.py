"""The arguments that several commands of `mapc` share, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from .configured import Given

Command = TypeVar("Command", bound=Callable[..., Any])


def _parts(_: click.Context, __: click.Parameter, value: str) -> str:
    from .splice import parts_of

    try:
        return ",".join(parts_of(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _pairs(
    _: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"expected {parameter.metavar}, found `{text}`")
        found[name] = value
    return found


def _mesh(
    _: click.Context, __: click.Parameter, texts: tuple[str, ...]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, equals, size = part.partition("=")
        if (
            not name
            or not equals
            or not (size.isascii() and size.isdigit())
            or int(size) < 1
        ):
            raise click.BadParameter(
                f"expected sizes of 1 or more such as tp=2,pp=2, found `{part}`"
            )
        if name.strip() in found:
            raise click.BadParameter(f"`{name.strip()}` stands twice")
        found[name.strip()] = int(size)
    return found


def file_or_code(
    context: click.Context, parameter: click.Parameter, value: str
) -> Path | str:
    """The path of a map; the text itself where it is the code of a diagnostic and no file."""
    if re.fullmatch(r"M\d+", value) and not Path(value).exists():
        return value
    return Path(FILE.convert(value, parameter, context))


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MAPS = click.argument(
    "maps", metavar="FILE.map ...", nargs=-1, required=True, type=FILE
)
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON value and nothing else."
)
INCLUDE = click.option(
    "-I",
    "--include",
    "include",
    metavar="DIR",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of files that maps include; may be given several times.",
)
WITH = click.option(
    "--with",
    "parts",
    metavar="PARTS",
    default="core,files,cli",
    show_default=True,
    callback=_parts,
    help="What the converter consists of: core, files, cli.",
)


# The options that say on which config a map is looked at.
ON_A_CONFIG = (
    click.option(
        "--config",
        metavar="CONFIG.json",
        type=FILE,
        help="A config.json to look at the map with.",
    ),
    click.option(
        "--layout",
        metavar="NAME",
        help="The layout of the config (default: the left one).",
    ),
    click.option(
        "--mesh",
        metavar="DIM=N,...",
        multiple=True,
        callback=_mesh,
        help="Mesh sizes, such as tp=2,pp=2.",
    ),
    click.option(
        "--set",
        "options",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_pairs,
        help="Set an option of the map.",
    ),
    click.option(
        "--variant",
        "variants",
        metavar="GROUP=ALTERNATIVE",
        multiple=True,
        callback=_pairs,
        help="Choose an alternative of the map.",
    ),
)


def on_a_config(command: Command) -> Command:
    """A command with these options."""
    for option in reversed(ON_A_CONFIG):
        command = option(command)
    return command


def given_config(
    config: Path | None,
    layout: str | None,
    mesh: Mapping[str, int],
    options: Mapping[str, str],
    variants: Mapping[str, str],
) -> Given | None:
    """The config to look at, if there is one; without it the other options say nothing."""
    from .configured import Given

    if config is not None:
        return Given(config, layout, mesh, options, variants)
    named = {
        "--layout": layout,
        "--mesh": mesh,
        "--set": options,
        "--variant": variants,
    }
    lone = next((flag for flag, value in named.items() if value), None)
    if lone is not None:
        raise click.UsageError(f"{lone} needs --config")
    return None
