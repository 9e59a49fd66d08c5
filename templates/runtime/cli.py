"""The command line of a converter: its commands, and exit codes that a script can rely on."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import suppress
from typing import Any

from .arguments import (
    Parser,
    add_command,
    add_mesh,
    add_reading,
    add_running,
    given_choices,
    given_mesh,
    given_options,
)
from .casting import CAST_DTYPES
from .checkpoint import convert_directory, reshard_directory
from .errors import ConversionError, one_line
from .inspecting import add_inspecting
from .layouts import Converter, Side
from .progress import ProgressLine
from .report import Report
from .signals import Terminated, ended_by_signals
from .stand_in import converter
from .usage import UsageError

EXIT_CODES = """exit codes: 0 done, 1 the checkpoint is refused (nothing is written), 2 usage,
3 reading or writing failed, 130 interrupted, 143 terminated"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line of this converter; the exit code."""
    # numpy, if it is needed, starts in half the time without threads for linear algebra.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return run_command(converter(), sys.argv[1:] if argv is None else argv)


def run_command(made: Converter, arguments: list[str]) -> int:
    """Run the command line of a converter; the exit code."""
    try:
        with ended_by_signals():
            return _run(made, arguments)
    except ConversionError as error:
        return _fail(arguments, 1, "refused", str(error))
    except UsageError as error:
        return _fail(arguments, 2, "usage", str(error))
    except OSError as error:
        return _fail(arguments, 3, "io", str(error))
    except MemoryError:
        pass  # what the run had taken is given back when its error is gone
    except KeyboardInterrupt as error:
        how, code = (
            ("terminated", 143)
            if isinstance(error, Terminated)
            else ("interrupted", 130)
        )
        left = (
            "--resume goes on" if "--resume" in arguments else "nothing is left behind"
        )
        return _fail(arguments, code, "interrupted", f"{how}, {left}")
    return _fail(arguments, 3, "io", "expected more memory, found none left")


def _fail(arguments: list[str], code: int, kind: str, message: str) -> int:
    """Say what went wrong: on stderr, and with --json as an object on stdout."""
    # What was started without stderr, or writes to a disk that is full, says it with its exit code.
    with suppress(OSError):
        if sys.stderr is not None:
            print(f"error: {one_line(message)}", file=sys.stderr)
        if "--json" in arguments:
            _print(json.dumps({"error": {"kind": kind, "message": message}}))
    return code


def _run(made: Converter, arguments: list[str]) -> int:
    given = _parser(made).parse_args(arguments)
    shown = not given.quiet and sys.stderr is not None and sys.stderr.isatty()
    line = ProgressLine(sys.stderr) if shown else None
    try:
        code, text = given.run(made, given, line)
    finally:
        if line is not None:
            line.end()
    if text:
        try:
            _print(text)
        except OSError as error:
            raise OSError(f"all is done, but cannot be told: {error}") from None
    return int(code)


def _print(text: str) -> None:
    """Print to stdout; OSError where that fails, which does not fail again when the interpreter ends."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _convert(
    made: Converter, given: argparse.Namespace, line: ProgressLine | None
) -> tuple[int, str]:
    """Convert; the exit code, and what is to be printed."""
    report = convert_directory(
        made,
        given.source,
        given.target,
        given.to,
        given_mesh(made, given),
        **_settings(made, given, line),
    )
    return 0, _shown(given, report)


def _reshard(
    made: Converter, given: argparse.Namespace, line: ProgressLine | None
) -> tuple[int, str]:
    """Reshard; the exit code, and what is to be printed."""
    report = reshard_directory(
        made,
        given.source,
        given.target,
        given_mesh(made, given),
        given_mesh(made, given, "to_"),
        given_options(made, given.to_set, "--to-set"),
        **_settings(made, given, line),
    )
    return 0, _shown(given, report)


def _settings(
    made: Converter, given: argparse.Namespace, line: ProgressLine | None
) -> dict[str, Any]:
    """What both commands are told."""
    return dict(
        form=given.form,
        dtype=given.dtype,
        max_memory=given.max_memory,
        max_shard_size=given.max_shard_size,
        follow_links=given.follow_links,
        overwrite=given.overwrite,
        resume=given.resume,
        fsync=given.fsync,
        threads=given.threads,
        verify=given.verify,
        check_replicas=given.check_replicas,
        allow_narrowing=given.allow_narrowing,
        plan_only=given.plan,
        progress=line.show if line else None,
        announce=line.announce if line else None,
        **given_choices(made, given),
    )


def _shown(given: argparse.Namespace, report: Report) -> str:
    if given.json:
        return report.to_json()
    return str(report) if given.plan or not given.quiet else ""


def _parser(made: Converter) -> Parser:
    left, right = made.left, made.right
    parser = Parser(
        allow_abbrev=False,
        description=f"Convert checkpoints between {left.name} and {right.name}.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"{made.name} ({made.version}, map sha256 {made.digest[:12]})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for here, there in ((left, right), (right, left)):
        does = f"convert a checkpoint from {here.name} to {there.name}"
        command = add_command(commands, f"to-{there.name}", does, EXIT_CODES)
        command.set_defaults(to=there.name, run=_convert)
        _add_arguments(command, made, there, here.file is not None)
    if made.mesh is not None:
        _add_resharding(commands, made)
    add_inspecting(commands, made)
    return parser


def _add_resharding(commands: Any, made: Converter) -> None:
    layout = next(side for side in (made.left, made.right) if side.file is not None)
    does = f"write a checkpoint of {layout.name} for another mesh"
    command = add_command(commands, "reshard", does, EXIT_CODES)
    command.set_defaults(run=_reshard)
    _add_arguments(command, made, layout, True)
    add_mesh(command, made, "to write (default: 1)", "to_")
    command.add_argument(
        "--to-set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set an option of the target; an empty value is that of the map",
    )


def _add_arguments(
    command: argparse.ArgumentParser, made: Converter, there: Side, from_ranks: bool
) -> None:
    add = command.add_argument
    command.set_defaults(form=None)
    if len(there.forms) > 1:
        what = f"of the files to write (default: {there.form})"
        add("--format", dest="form", choices=there.forms, help=what)
    add(
        "source", metavar="SRC", help="the directory of the checkpoint; it is only read"
    )
    add("target", metavar="DST", help="the directory to make")
    what = "the source has (default: what it says)"
    add_mesh(command, made, what if from_ranks else "to write (default: 1)")
    add("--dtype", choices=list(CAST_DTYPES), help="cast the floating-point tensors")
    add_reading(command, made)
    _add_writing(command)
    add_running(command, "files, or parts of one,")


def _add_writing(command: argparse.ArgumentParser) -> None:
    """The flags that say how, and whether, a target is written."""
    add = command.add_argument
    add(
        "--plan",
        action="store_true",
        help="check everything and say what would be written",
    )
    add(
        "--verify",
        action="store_true",
        help="compare every written element with the source",
    )
    add(
        "--max-memory",
        metavar="SIZE",
        help="take no more memory than this, as 2GiB, or refuse to begin",
    )
    add(
        "--max-shard-size",
        metavar="SIZE",
        default="5GB",
        help="size of a shard (default: 5GB)",
    )
    add("--overwrite", action="store_true", help="replace the target if it exists")
    add(
        "--resume",
        action="store_true",
        help="keep what is written if the run is cut off, and go on with what an earlier one has written",
    )
    add(
        "--fsync",
        action="store_true",
        help="wait until the disk has everything before the target takes its place",
    )


if __name__ == "__main__":
    sys.exit(main())
