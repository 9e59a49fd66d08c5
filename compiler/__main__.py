"""The command `mapc`. What a command needs is imported when it runs, so that help comes at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..dsl.diagnostics import MapError, to_json
from .answer import Answer, Refused

if TYPE_CHECKING:
    from .configured import Given

Command = TypeVar("Command", bound=Callable[..., Any])

EPILOG = """\b
Exit codes: 0 done; 1 diagnostics, or files that are stale or different;
2 usage, or a file that cannot be read or written; 130 interrupted."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return commands.main(given, prog_name="mapc", standalone_mode=False) or 0
    except MapError as error:
        diagnostics = {"diagnostics": [to_json(diagnostic) for diagnostic in error.diagnostics]}
        return _fail(given, 1, str(error), diagnostics)
    except Refused as error:
        return _fail(given, 1, f"error: {error}", _error("refused", str(error)))
    except click.ClickException as error:
        message = error.format_message()
        usage = (
            "" if (context := getattr(error, "ctx", None)) is None else context.get_usage() + "\n"
        )
        return _fail(given, 2, f"{usage}error: {message}", _error("usage", message))
    except OSError as error:
        return _fail(given, 2, f"error: {error}", _error("io", str(error)))
    except (click.Abort, KeyboardInterrupt):
        return _fail(given, 130, "interrupted", _error("interrupted", "interrupted"))


def _error(kind: str, message: str) -> dict[str, object]:
    return {"error": {"kind": kind, "message": message}}


def _fail(given: list[str], code: int, text: str, data: object) -> int:
    """Say what went wrong: with --json as an object on stdout, else as text on stderr."""
    if "--json" in given:
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(text, err=True)
    return code


def _say(answer: Answer, as_json: bool) -> int:
    click.echo(json.dumps(answer.data, indent=2) if as_json else answer.text)
    return answer.code


# ---- arguments ------------------------------------------------------------------------------------


def _parts(_: click.Context, __: click.Parameter, value: str) -> str:
    from .splice import parts_of

    try:
        return ",".join(parts_of(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _pairs(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"expected {parameter.metavar}, found `{text}`")
        found[name] = value
    return found


def _sizes(_: click.Context, __: click.Parameter, text: str) -> dict[str, int]:
    found = {}
    for part in text.split(",") if text else ():
        name, _, size = part.partition("=")
        if not name or not (size.isascii() and size.isdigit()) or int(size) < 1:
            raise click.BadParameter(
                f"expected sizes of 1 or more such as tp=2,pp=2, found `{part}`"
            )
        found[name.strip()] = int(size)
    return found


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MAPS = click.argument("maps", metavar="FILE.map ...", nargs=-1, required=True, type=_FILE)
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON value and nothing else."
)
_WITH = click.option(
    "--with",
    "parts",
    default="core,files,cli",
    show_default=True,
    callback=_parts,
    help="What the converter consists of: core, files, cli.",
)


def _configured(command: Command) -> Command:
    """The options that say on which config a map is looked at."""
    for option in reversed(
        (
            click.option(
                "--config",
                metavar="CONFIG.json",
                type=_FILE,
                help="A config.json to look at the map with.",
            ),
            click.option(
                "--layout", metavar="NAME", help="The layout of the config (default: the left one)."
            ),
            click.option(
                "--mesh",
                metavar="DIM=N,...",
                default="",
                callback=_sizes,
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
    ):
        command = option(command)
    return command


def _given(
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
    named = {"--layout": layout, "--mesh": mesh, "--set": options, "--variant": variants}
    lone = next((flag for flag, value in named.items() if value), None)
    if lone is not None:
        raise click.UsageError(f"{lone} needs --config")
    return None


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from .driver import VERSION

        click.echo(VERSION)
        context.exit()


# ---- commands -------------------------------------------------------------------------------------


@click.group(
    epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version.",
)
def commands() -> None:
    """Compile index equations between checkpoint layouts (.map files) into converters that stand alone."""


@commands.command()
@_MAPS
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the converters; it is made if need be.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing: print the diff of what is stale or missing, and exit with 1.",
)
@_WITH
@_JSON
def build(maps: tuple[Path, ...], folder: Path, check: bool, parts: str, as_json: bool) -> int:
    """Write the converter <stem>.py and its test test_<stem>.py of each map."""
    from .building import build

    return _say(build(maps, folder, parts, check), as_json)


@commands.command()
@_MAPS
@_configured
@click.option("--shapes", is_flag=True, help="With --config: the shapes of all layers.")
@_JSON
def check(maps: tuple[Path, ...], shapes: bool, as_json: bool, **config: Any) -> int:
    """Prove each map, statement by statement; with --config also count tensors and bytes."""
    from .reporting import check

    given = _given(**config)
    if shapes and given is None:
        raise click.UsageError("--shapes needs --config")
    return _say(check(maps, given, shapes), as_json)


@commands.command()
@_MAPS
@click.option(
    "--check", is_flag=True, help="Write nothing: print the diff of what differs, and exit with 1."
)
@_JSON
def fmt(maps: tuple[Path, ...], check: bool, as_json: bool) -> int:
    """Rewrite maps in the canonical form."""
    from .formatting import fmt

    return _say(fmt(maps, check), as_json)


@commands.command()
@click.argument("map_", metavar="FILE.map", type=_FILE)
@click.argument("tensor", required=False)
@_configured
@_JSON
def explain(map_: Path, tensor: str | None, as_json: bool, **config: Any) -> int:
    """Say in words what a map states, or where a TENSOR of either layout comes from.

    With --config the pieces of the tensor are told, rank by rank; `rows 0..31` includes both ends.
    """
    from .explaining import explain, explain_tensor

    given = _given(**config)
    if tensor is None:
        if given is not None:
            raise click.UsageError("--config needs a TENSOR")
        return _say(explain(map_), as_json)
    return _say(explain_tensor(map_, tensor, given), as_json)


@commands.command("list")
@_JSON
def list_(as_json: bool) -> int:
    """List the maps that are shipped with mapc."""
    from .shipped import shipped_maps

    return _say(shipped_maps(), as_json)


@commands.command()
@click.argument("name")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@_WITH
@_JSON
def vendor(name: str, folder: Path, parts: str, as_json: bool) -> int:
    """Write the converter of the shipped map NAME and its test into DIR."""
    from .building import vendor

    return _say(vendor(name, folder, parts), as_json)


if __name__ == "__main__":
    sys.exit(main())
