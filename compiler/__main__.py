"""The command `mapc`. What a command needs is imported when it runs, so that help comes at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..dsl.diagnostics import MapError, to_json
from .answer import Answer, Refused
from .arguments import (
    INCLUDE,
    JSON,
    MAPS,
    WITH,
    file_or_code,
    given_config,
    on_a_config,
)

EPILOG = """\b
Exit codes: 0 done; 1 diagnostics, or files that are stale or different;
2 usage, or a file that cannot be read or written; 130 interrupted."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return commands.main(given, prog_name="mapc", standalone_mode=False) or 0
    except MapError as error:
        diagnostics = {
            "diagnostics": [to_json(diagnostic) for diagnostic in error.diagnostics]
        }
        return _fail(given, 1, str(error), diagnostics)
    except Refused as error:
        return _fail(given, 1, f"error: {error}", _error("refused", str(error)))
    except click.ClickException as error:
        message = error.format_message()
        usage = (
            ""
            if (context := getattr(error, "ctx", None)) is None
            else context.get_usage() + "\n"
        )
        return _fail(given, 2, f"{usage}error: {message}", _error("usage", message))
    except OSError as error:
        message = (
            f"{error.filename}: {error.strerror}" if error.filename else str(error)
        )
        return _fail(given, 2, f"error: {message}", _error("io", message))
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


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from .driver import VERSION

        click.echo(VERSION)
        context.exit()


# ---- commands -------------------------------------------------------------------------------------


@click.group(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
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
@MAPS
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
@INCLUDE
@WITH
@JSON
def build(
    maps: tuple[Path, ...],
    folder: Path,
    check: bool,
    include: tuple[Path, ...],
    parts: str,
    as_json: bool,
) -> int:
    """Write the converter <stem>.py and its test test_<stem>.py of each map."""
    from .building import build

    return _say(build(maps, folder, parts, check, include), as_json)


@commands.command()
@MAPS
@INCLUDE
@on_a_config
@click.option("--shapes", is_flag=True, help="With --config: the shapes of all layers.")
@JSON
def check(
    maps: tuple[Path, ...],
    include: tuple[Path, ...],
    shapes: bool,
    as_json: bool,
    **config: Any,
) -> int:
    """Prove each map, statement by statement; with --config also count tensors and bytes."""
    from .reporting import check

    given = given_config(**config)
    if shapes and given is None:
        raise click.UsageError("--shapes needs --config")
    return _say(check(maps, given, shapes, include), as_json)


@commands.command()
@MAPS
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing: print the diff of what differs, and exit with 1.",
)
@JSON
def fmt(maps: tuple[Path, ...], check: bool, as_json: bool) -> int:
    """Rewrite maps in the canonical form."""
    from .formatting import fmt

    return _say(fmt(maps, check), as_json)


@commands.command()
@click.argument("what", metavar="FILE.map|CODE", callback=file_or_code)
@click.argument("tensor", required=False)
@INCLUDE
@on_a_config
@JSON
def explain(
    what: Path | str,
    tensor: str | None,
    include: tuple[Path, ...],
    as_json: bool,
    **config: Any,
) -> int:
    """Say in words what a map states, or where a TENSOR of either layout comes from.

    With --config the pieces of the tensor are told, rank by rank; `rows 0..31` includes both ends.
    For the CODE of a diagnostic, such as M0301: why it is said, and the way out.
    """
    from .catalog import explain_code
    from .explaining import explain
    from .tracing import explain_tensor

    given = given_config(**config)
    if isinstance(what, str):
        if tensor is not None or given is not None:
            raise click.UsageError("a CODE stands alone")
        return _say(explain_code(what), as_json)
    map_ = what
    if tensor is not None:
        return _say(explain_tensor(map_, tensor, given, include), as_json)
    if given is not None:
        raise click.UsageError("--config needs a TENSOR")
    return _say(explain(map_, include), as_json)


@commands.command("list")
@JSON
def list_(as_json: bool) -> int:
    """List the maps that are shipped with mapc."""
    from .shipped import shipped_maps

    return _say(shipped_maps(), as_json)


@commands.command()
@click.argument("name")
@click.argument(
    "folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path)
)
@WITH
@JSON
def vendor(name: str, folder: Path, parts: str, as_json: bool) -> int:
    """Write the converter of the shipped map NAME and its test into DIR."""
    from .building import vendor

    return _say(vendor(name, folder, parts), as_json)


if __name__ == "__main__":
    sys.exit(main())
