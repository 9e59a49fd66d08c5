"""The command line of a converter: one command a direction, and exit codes that a script can rely on."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import suppress
from dataclasses import fields
from typing import Any, NoReturn

from .casting import CAST_DTYPES
from .checkpoint import convert_directory
from .errors import ConversionError, one_line
from .mapping import Converter
from .progress import ProgressLine
from .report import Report
from .signals import Terminated, ended_by_signals
from .stand_in import converter
from .usage import UsageError, check_known

EXIT_CODES = """exit codes: 0 done, 1 the checkpoint is refused (nothing is written), 2 usage,
3 reading or writing failed, 130 interrupted, 143 terminated"""


class Parser(argparse.ArgumentParser):
    """Raises what argparse would end the program with."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise UsageError(message)


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
            print(json.dumps({"error": {"kind": kind, "message": message}}))
    return code


def _run(made: Converter, arguments: list[str]) -> int:
    given = _parser(made).parse_args(arguments)
    shown = not given.quiet and sys.stderr is not None and sys.stderr.isatty()
    line = ProgressLine(sys.stderr) if shown else None
    try:
        report = _convert(made, given, line)
    finally:
        if line is not None:
            line.end()
    _print(report, given)
    return 0


def _convert(
    made: Converter, given: argparse.Namespace, line: ProgressLine | None
) -> Report:
    return convert_directory(
        made,
        given.source,
        given.target,
        to=given.to,
        mesh=_given_mesh(made, given),
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
        **dict(_option(made, text) for text in given.set),
        **dict(_pair("--variant", text) for text in given.variant),
    )


def _print(report: Report, given: argparse.Namespace) -> None:
    if given.json:
        print(report.to_json())
    elif given.plan or not given.quiet:
        print(report)


# ---- arguments


def _parser(made: Converter) -> Parser:
    parser = Parser(
        allow_abbrev=False,
        description=f"Convert checkpoints between {made.left.name} and {made.right.name}.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"{made.name} ({made.version}, map sha256 {made.digest[:12]})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for here, there in ((made.left, made.right), (made.right, made.left)):
        command = commands.add_parser(
            f"to-{there.name}",
            allow_abbrev=False,
            help=f"convert a checkpoint from {here.name} to {there.name}",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(to=there.name)
        _add_arguments(command, made, here.file is not None)
    return parser


def _add_arguments(
    command: argparse.ArgumentParser, made: Converter, from_ranks: bool
) -> None:
    add = command.add_argument
    add(
        "source", metavar="SRC", help="the directory of the checkpoint; it is only read"
    )
    add("target", metavar="DST", help="the directory to make")
    for dim in _dims(made):
        what = (
            "the source has (default: what it says)"
            if from_ranks
            else "to write (default: 1)"
        )
        add(
            _flag(dim),
            type=int,
            dest=f"mesh_{dim}",
            metavar="N",
            help=f"{dim} ranks {what}",
        )
    add("--dtype", choices=list(CAST_DTYPES), help="cast the floating-point tensors")
    add(
        "--allow-narrowing",
        action="store_true",
        help="write numbers that are too large for their dtype as infinite, and count them",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=_known_options(made),
    )
    add(
        "--variant",
        action="append",
        default=[],
        metavar="GROUP=NAME",
        help=_known_variants(made),
    )
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
        "--check-replicas",
        action="store_true",
        help="refuse copies that differ between ranks",
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
    add(
        "--follow-links",
        action="store_true",
        help="read what links of the source point to, wherever it is",
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
    add(
        "--threads",
        type=int,
        metavar="N",
        help="work on several files, or parts of one, at once (default: at most 4)",
    )
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--json", action="store_true", help="print the report, or the error, as JSON")


def _known_options(made: Converter) -> str:
    known = ", ".join(f"{name} ({kind})" for name, kind in made.options.items())
    return f"set an option: {known or 'this converter has none'}"


def _known_variants(made: Converter) -> str:
    known = ", ".join(
        f"{group} ({' or '.join(them)})" for group, them in made.variants.items()
    )
    return f"choose how a layout is written: {known or 'this converter has one way'}"


def _dims(made: Converter) -> list[str]:
    mesh_class: Any = made.mesh
    return [] if mesh_class is None else [dim.name for dim in fields(mesh_class)]


def _flag(dim: str) -> str:
    return f"--{dim.replace('_', '-')}"


def _given_mesh(made: Converter, given: argparse.Namespace) -> Any:
    """The mesh of the flags, None where there are none."""
    named = {dim: getattr(given, f"mesh_{dim}") for dim in _dims(made)}
    sizes = {dim: size for dim, size in named.items() if size is not None}
    for dim, size in sizes.items():
        if size < 1:
            raise UsageError(f"{_flag(dim)}: expected 1 or more, found {size}")
    return made.mesh(**sizes) if sizes and made.mesh is not None else None


def _pair(flag: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"{flag}: expected NAME=VALUE, found {text!r}")
    return name, value


def _option(made: Converter, text: str) -> tuple[str, Any]:
    """An option and its value, of the kind that the converter says."""
    name, value = _pair("--set", text)
    check_known("--set", [name], made.options)
    try:
        return name, read_value(made.options[name], value)
    except ValueError:
        kind = made.options[name]
        raise UsageError(
            f"--set {name}: expected a value of kind {kind}, found {value!r}"
        ) from None


def read_value(kind: str, text: str) -> Any:
    """The value of an option, of one of the kinds of a config; ValueError where the text is none."""
    match kind:
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            return ("false", "true").index(text) == 1
        case "list":
            return list(json.loads(text))
        case "any":
            return json.loads(text)
    return text


if __name__ == "__main__":
    sys.exit(main())
