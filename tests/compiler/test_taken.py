"""The names that a map's dimensions, options and variants must not have are those that a converter uses."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

from mapc.compiler.taken import FLAGS, PARAMETERS
from mapc.generated import llama_hf_mcore as llama

COMMANDS = ("to-hf", "to-mcore", "reshard", "fingerprint", "diff")


def test_flags() -> None:
    """What the commands say in their help, less the sizes of meshes."""
    found: set[str] = set()
    for command in COMMANDS:
        arguments = [sys.executable, "-I", str(Path(llama.__file__)), command, "--help"]
        text = subprocess.run(arguments, capture_output=True, text=True, check=True)
        found |= set(re.findall(r"--([\w-]+)", text.stdout))
    dims = llama.Mesh.__dataclass_fields__
    sizes = {f"{which}{dim}" for which, dim in product(("", "to-", "other-"), dims)}
    assert found >= sizes
    assert sorted(found - sizes) == FLAGS.split()


def test_parameters() -> None:
    """Those of the functions that are given options and variants, and the field of Config besides them."""
    functions = [
        getattr(llama, f"{what}_{where}")
        for what, where in (
            *product(
                ("convert", "reshard", "fingerprint"), ("checkpoint", "directory")
            ),
            ("diff", "checkpoints"),
            ("diff", "directories"),
        )
    ]
    functions.append(llama.Config.from_hf.__func__)
    named = {
        one.name
        for function in functions
        for one in inspect.signature(function).parameters.values()
        if one.kind is not one.VAR_KEYWORD
    }
    assert sorted(named | {"extra"}) == PARAMETERS.split()
