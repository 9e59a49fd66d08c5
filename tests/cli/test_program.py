"""`mapc` as a program of its own: how it starts, and how it ends."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

COMMAND = [sys.executable, "-m", "mapc.compiler"]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_help_comes_at_once(tmp_path: Path) -> None:
    """Counted is the time that the processor works, which another program does not lengthen."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.3


def test_help_imports_no_parser(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from mapc.compiler.__main__ import main\n"
        "codes = [main(['--help']), main(['build', '--help']), main(['explain', '--help'])]\n"
        "print(codes, sorted({'lark', 'black', 'jinja2', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] []"


def test_exit_codes_reach_the_shell(folder: Path) -> None:
    assert run("check", "pair.map", cwd=folder).returncode == 0
    assert run("check", "broken.map", cwd=folder).returncode == 1
    assert run("check", "nothing.map", cwd=folder).returncode == 2


def test_the_installed_command_is_this_one(folder: Path) -> None:
    installed = Path(sys.executable).with_name("mapc")
    command = [str(installed)] if installed.exists() else COMMAND
    done = subprocess.run(
        [*command, "check", "broken.map"], cwd=folder, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


def test_version_is_that_of_the_package(folder: Path) -> None:
    assert run("--version", cwd=folder).stdout == f"mapc {version('mapc')}\n"


def test_interrupted(folder: Path) -> None:
    """The program waits for a map that does not come, until it is interrupted."""
    os.mkfifo(folder / "waits.map")
    command = [*COMMAND, "check", "waits.map"]
    with (
        subprocess.Popen(
            command, cwd=folder, stderr=subprocess.PIPE, text=True
        ) as program,
        open(folder / "waits.map", "w"),  # opens once the program reads
    ):
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    assert (program.returncode, said.strip()) == (130, "interrupted")


def test_a_closed_pipe_is_no_traceback(folder: Path) -> None:
    """More is printed than a pipe takes, and nobody reads on."""
    command = (
        f"{' '.join(COMMAND)} build pair.map -o out --check --with core | head -n 1"
    )
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("--- /dev/null\n", "")
