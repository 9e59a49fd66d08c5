"""The commands that look at checkpoints and write nothing: `fingerprint` and `diff`."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import (
    add_command,
    add_mesh,
    add_reading,
    add_running,
    given_choices,
    given_mesh,
)
from .differing import diff_directories
from .fingerprint import fingerprint_directory
from .layouts import Converter
from .progress import ProgressLine

LOOKING_CODES = """exit codes: 0 done, 1 a checkpoint is refused, 2 usage, 3 reading failed, 130 interrupted, 143 terminated"""
DIFF_CODES = """exit codes: 0 equal, 1 different, or a checkpoint is refused, 2 usage, 3 reading failed, 130 interrupted,
143 terminated"""


def add_inspecting(commands: Any, made: Converter) -> None:
    """Add both commands."""
    says = "the directory has (default: what it says)"
    layouts = [made.left.name, made.right.name]
    does = "one digest for the same weights, in whatever layout a directory has them"
    command = add_command(commands, "fingerprint", does, LOOKING_CODES)
    command.add_argument("directory", metavar="DIR", help="the directory to read")
    command.add_argument("--layout", choices=layouts, help=f"the layout {says}")
    add_mesh(command, made, says)
    command.set_defaults(run=_fingerprint)
    add_reading(command, made)
    add_running(command, "tensors")

    does = "whether two directories, in whatever layouts, have the same weights"
    command = add_command(commands, "diff", does, DIFF_CODES)
    command.add_argument("one", metavar="DIR_A", help="a directory to read")
    command.add_argument("other", metavar="DIR_B", help="the other one")
    for prefix, which in (("", "DIR_A"), ("other-", "DIR_B")):
        says = f"{which} has (default: what it says)"
        command.add_argument(
            f"--{prefix}layout", choices=layouts, help=f"the layout {says}"
        )
        add_mesh(command, made, says, prefix.replace("-", "_"))
    command.set_defaults(run=_diff)
    add_reading(command, made)
    add_running(command, "tensors")


def _fingerprint(
    made: Converter, given: argparse.Namespace, line: ProgressLine | None
) -> tuple[int, str]:
    """The exit code, and what is to be printed: at least the digest."""
    found = fingerprint_directory(
        made,
        given.directory,
        given_mesh(made, given),
        layout=given.layout,
        **_how(made, given, line),
    )
    if given.json:
        return 0, found.to_json()
    return 0, found.sha256 if given.quiet else str(found)


def _diff(
    made: Converter, given: argparse.Namespace, line: ProgressLine | None
) -> tuple[int, str]:
    """The exit code, and what is to be printed."""
    found = diff_directories(
        made,
        given.one,
        given.other,
        given_mesh(made, given),
        given_mesh(made, given, "other_"),
        layout=given.layout,
        other_layout=given.other_layout,
        **_how(made, given, line),
    )
    code = 0 if found.equal else 1
    if given.json:
        return code, found.to_json()
    return code, "" if given.quiet else str(found)


def _how(
    made: Converter, given: argparse.Namespace, line: ProgressLine | None
) -> dict[str, Any]:
    """What both commands are told."""
    return {
        "check_replicas": given.check_replicas,
        "allow_narrowing": given.allow_narrowing,
        "follow_links": given.follow_links,
        "threads": given.threads,
        "progress": line.show if line else None,
        "announce": line.announce if line else None,
        **given_choices(made, given),
    }
