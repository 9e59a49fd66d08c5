"""Arguments that the commands of a converter share: how a checkpoint is read, and what is printed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from typing import Any, NoReturn

from .layouts import Converter
from .usage import UsageError, check_known


class Parser(argparse.ArgumentParser):
    """Raises what argparse would end the program with."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise UsageError(message)


def add_command(commands: Any, name: str, does: str, codes: str) -> Parser:
    """A command, what it does, and its exit codes."""
    command: Parser = commands.add_parser(
        name,
        allow_abbrev=False,
        help=does,
        epilog=codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return command


def add_mesh(
    command: argparse.ArgumentParser, made: Converter, what: str, prefix: str = ""
) -> None:
    """A flag for each size of the mesh."""
    for dim in _dims(made):
        command.add_argument(
            _flag(prefix + dim),
            type=int,
            dest=f"{prefix}mesh_{dim}",
            metavar="N",
            help=f"{dim} ranks {what}",
        )


def add_reading(command: argparse.ArgumentParser, made: Converter) -> None:
    """How a checkpoint is read."""
    add = command.add_argument
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
        "--check-replicas",
        action="store_true",
        help="refuse copies that differ between ranks",
    )
    add(
        "--allow-narrowing",
        action="store_true",
        help="let numbers that are too large for their dtype become infinite, and count them",
    )
    add(
        "--follow-links",
        action="store_true",
        help="read what links of the source point to, wherever it is",
    )


def add_running(command: argparse.ArgumentParser, work: str) -> None:
    """How it is done, and what is printed."""
    add = command.add_argument
    add(
        "--threads",
        type=int,
        metavar="N",
        help=f"work on several {work} at once (default: at most 4)",
    )
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--json", action="store_true", help="print the report, or the error, as JSON")


def given_mesh(made: Converter, given: argparse.Namespace, prefix: str = "") -> Any:
    """The mesh of the flags, None where there are none."""
    named = {dim: getattr(given, f"{prefix}mesh_{dim}") for dim in _dims(made)}
    sizes = {dim: size for dim, size in named.items() if size is not None}
    for dim, size in sizes.items():
        if size < 1:
            raise UsageError(f"{_flag(prefix + dim)}: expected 1 or more, found {size}")
    return made.mesh(**sizes) if sizes and made.mesh is not None else None


def given_choices(made: Converter, given: argparse.Namespace) -> dict[str, Any]:
    """The options and variants of the flags, by name."""
    return {
        **given_options(made, given.set, "--set"),
        **dict(_pair("--variant", text) for text in given.variant),
    }


def given_options(made: Converter, given: list[str], flag: str) -> dict[str, Any]:
    """The options of a flag, by name; an empty value is the default."""
    return dict(_option(made, text, flag) for text in given)


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


def _pair(flag: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"{flag}: expected NAME=VALUE, found {text!r}")
    return name, value


def _option(made: Converter, text: str, flag: str) -> tuple[str, Any]:
    """An option and its value, of the kind that the converter says."""
    name, value = _pair(flag, text)
    check_known(flag, [name], made.options)
    if not value:
        return name, made.table.options[name][-1]
    try:
        return name, read_value(made.options[name], value)
    except ValueError:
        kind = made.options[name]
        raise UsageError(
            f"{flag} {name}: expected a value of kind {kind}, found {value!r}"
        ) from None
