"""The command line of a converter that stands alone, run as users run it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .files import files_of, read
from .test_imports import names_of
from .toy import load_toy, toy_text
from .toy_checkpoint import hf_tensors, rank_file, write_hf, write_mcore

ENDING = r"\d+\.\d\d s, RATEpeak memory \d+\.\d\d MB, bound by [a-z][a-z (),]+"
PADDED = ("--set", "vocab_multiple=8")


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("standalone") / "toy.py"
    path.write_text(toy_text())
    return path


def main(*arguments: str | Path) -> int:
    """The exit code, here in this process."""
    return load_toy().main([str(argument) for argument in arguments])


def run(
    script: Path, *arguments: str | Path, blocked: str = ""
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; `blocked` are packages that are not there."""
    before = [f"sys.modules[{name!r}] = None" for name in blocked.split()]
    program = [
        "import runpy, sys",
        f"sys.path.insert(0, {str(script.parent)!r})",
        *before,
        f"sys.argv[0] = {script.name!r}",
        f"runpy.run_path({str(script)!r}, run_name='__main__')",
    ]
    command = [
        sys.executable,
        "-I",
        "-W",
        "error",
        "-c",
        "\n".join(program),
        *map(str, arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_both_directions_with_nothing_installed(script: Path, tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf", note="kept")
    code, out, err = run(
        script,
        "to-mcore",
        source,
        tmp_path / "mcore",
        "--tp",
        "2",
        "--pp",
        "2",
        *PADDED,
    )
    assert (code, err) == (0, "")
    assert re.fullmatch(
        ENDING.replace("RATE", r"\d+\.\d\d GB/s, "), out.splitlines()[-1]
    )
    assert out.splitlines()[:2] == [
        f"hf -> mcore, tp=2 pp=2: {source} -> {tmp_path / 'mcore'}",
        "26 tensors read (3.86 KB), 38 written (4.82 KB)",
    ]
    packages = "torch numpy safetensors"
    arguments = (
        tmp_path / "mcore",
        tmp_path / "back",
        "--tp",
        "2",
        "--pp",
        "2",
        "--verify",
    )
    assert run(script, "to-hf", *arguments, "--quiet", blocked=packages) == (0, "", "")
    assert read(tmp_path / "back/model.safetensors") == hf_tensors()
    arguments = (
        tmp_path / "back",
        tmp_path / "again",
        "--tp",
        "2",
        "--pp",
        "2",
        *PADDED,
    )
    code, out, err = run(script, "to-mcore", *arguments, blocked=packages)
    assert (code, err) == (0, "")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "mcore")


def test_version_is_quick(script: Path) -> None:
    text = f"toy (mapc 0.1.0, map sha256 {load_toy().converter().digest[:12]})\n"
    assert run(script, "--version", blocked="torch numpy safetensors") == (0, text, "")


def test_plan(script: Path, tmp_path: Path) -> None:
    source = write_mcore(tmp_path / "mcore", hf_tensors(), 2, 1, note="kept")
    code, out, err = run(
        script, "to-hf", source, tmp_path / "hf", "--plan", "--max-shard-size", "2KB"
    )
    *lines, last = out.splitlines()
    assert (code, err) == (0, "")
    assert lines == [
        f"mcore -> hf, tp=2 pp=1: {source} -> {tmp_path / 'hf'}",
        "27 tensors read (3.89 KB), 26 to be written (3.86 KB)",
        "  model-00001-of-00002.safetensors  12 tensors  6.03 KB",
        "  model-00002-of-00002.safetensors  14 tensors  6.03 KB",
        "besides: model.safetensors.index.json, config.json, mapc.json",
        "config keys kept: note, vocab_multiple",
    ]
    assert re.fullmatch(ENDING.replace("RATE", ""), last)
    assert os.listdir(tmp_path) == ["mcore"]


def test_plan_as_json(script: Path, tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    code, out, err = run(
        script, "to-mcore", source, tmp_path / "mcore", "--plan", "--json", "--quiet"
    )
    report = json.loads(out)
    assert (code, err, report["written"], report["direction"]) == (
        0,
        "",
        False,
        "hf -> mcore",
    )
    assert report["files"] == [{"name": rank_file(0, 0), "tensors": 18, "size": 7956}]


def test_refused(script: Path, tmp_path: Path) -> None:
    tensors = hf_tensors()
    del tensors["layers.3.k.weight"]
    source = write_hf(tmp_path / "hf", tensors)
    code, out, err = run(script, "to-mcore", source, tmp_path / "mcore", "--json")
    (line,) = err.splitlines()
    said = f"error: {source / 'model.safetensors'}: layers.3.k.weight: missing"
    assert (code, line.split(";")[0]) == (1, said)
    assert json.loads(out) == {
        "error": {"kind": "refused", "message": line.removeprefix("error: ")}
    }
    assert os.listdir(tmp_path) == ["hf"]


USAGE: list[tuple[list[str], str]] = [
    ([], "the following arguments are required: COMMAND"),
    (["to-hf"], "the following arguments are required: SRC, DST"),
    (["to-hf", "a", "b", "--tp", "two"], "argument --tp: invalid int value: 'two'"),
    (["to-hf", "a", "b", "--tp", "0"], "--tp: expected 1 or more, found 0"),
    (["to-hf", "a", "b", "--set", "x"], "--set: expected NAME=VALUE, found 'x'"),
    (["to-hf", "a", "b", "--set", "x=1"], "--set: expected vocab_multiple, found 'x'"),
    (
        ["to-hf", "a", "b", "--set", "vocab_multiple=1.5"],
        "--set vocab_multiple: expected a value of kind int, found '1.5'",
    ),
    (
        ["to-hf", "a", "b", "--variant", "final=up"],
        "variant final: expected own, shared, found 'up'",
    ),
    (["to-hf", "a", "b", "--threads", "0"], "threads: expected 1 or more, found 0"),
    (
        ["to-hf", "a", "b", "--max-memory", "much"],
        "expected a size such as 5GB or 2GiB, found 'much'",
    ),
]


@pytest.mark.parametrize(
    "arguments, message", USAGE, ids=[" ".join(case[0]) for case in USAGE]
)
def test_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(*arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("", f"error: {message}")
    assert main(*arguments, "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": {"kind": "usage", "message": message}}


@pytest.mark.parametrize(
    "kind, text, value",
    [
        ("int", "-3", -3),
        ("float", "1e-5", 1e-5),
        ("bool", "true", True),
        ("bool", "false", False),
        ("str", "a=b", "a=b"),
        ("list", "[1, 2]", [1, 2]),
        ("any", '{"a": [1]}', {"a": [1]}),
    ],
)
def test_kinds_of_options(kind: str, text: str, value: Any) -> None:
    found = load_toy().read_value(kind, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "kind, text",
    [("int", "1.5"), ("bool", "yes"), ("list", "1,2"), ("any", "a"), ("float", "")],
)
def test_no_value_of_the_kind(kind: str, text: str) -> None:
    with pytest.raises(ValueError):
        load_toy().read_value(kind, text)


def test_io_error(script: Path, tmp_path: Path) -> None:
    source = tmp_path / "none"
    message = f"{source}: expected the directory of a checkpoint, found none"
    code, out, err = run(script, "to-mcore", source, tmp_path / "mcore", "--json")
    assert (code, err) == (3, f"error: {message}\n")
    assert json.loads(out) == {"error": {"kind": "io", "message": message}}


def test_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(load_toy(), "convert_directory", interrupted)
    assert main("to-hf", "a", "b", "--json") == 130
    out, err = capsys.readouterr()
    assert err == "error: interrupted, nothing is left behind\n"
    assert json.loads(out) == {
        "error": {
            "kind": "interrupted",
            "message": "interrupted, nothing is left behind",
        }
    }


def test_progress_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_hf(tmp_path / "hf")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main("to-mcore", source, tmp_path / "a") == 0
    shown = [line.rstrip() for line in capsys.readouterr().err.split("\r")]
    phases = [line for line in shown if line.endswith("...")]
    assert phases == [
        "reading headers ...",
        "planning ...",
        "checking values ...",
        "planning ...",
        "writing ...",
        "finishing ...",
    ]
    (whole,) = (line for line in shown if "%" in line)
    assert whole.startswith("100%  3.86 KB of 3.86 KB, ")
    assert shown[-2:] == ["", ""]  # taken away
    assert main("to-mcore", tmp_path / "none", tmp_path / "c") == 3
    error = f"{tmp_path / 'none'}: expected the directory of a checkpoint, found none"
    assert capsys.readouterr().err.endswith(f" \rerror: {error}\n")
    command = ["to-mcore", str(source), str(tmp_path / "b"), "--quiet"]
    assert main(*command) == 0
    assert capsys.readouterr() == ("", "")


def test_help_names_everything(script: Path) -> None:
    code, out, err = run(script, "to-mcore", "--help")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for text in (
        "--tp N",
        "--pp N",
        "vocab_multiple (int)",
        "final (own or shared)",
        "130",
    ):
        assert text in words


def test_a_mesh_is_only_what_the_flags_say(tmp_path: Path) -> None:
    source = write_mcore(tmp_path / "mcore", hf_tensors(), 2, 2)
    command = ["to-hf", str(source), str(tmp_path / "hf"), "--quiet"]
    assert main(*command, "--tp", "2") == 1
    assert main(*command) == 0


def test_names_do_not_collide() -> None:
    """All modules end up in one namespace, with what the compiler writes above them."""
    names = [name for node in ast.parse(toy_text()).body for name in names_of(node)]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_no_name_is_undefined(script: Path) -> None:
    rules = [
        "--isolated",
        "--select",
        "F,E9",
        "--output-format",
        "concise",
        str(script),
    ]
    command = [sys.executable, "-m", "ruff", "check", *rules]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("All checks passed!\n", 0)
