"""Peak anonymous memory of a process, seen from outside: what it holds for itself, without the page cache."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from .place import ROOT


def peak_anonymous(command: list[str]) -> int:
    """The most bytes of RssAnon that a command had, looked at every millisecond. RuntimeError where it fails."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        status = Path(f"/proc/{process.pid}/status")
        peak = 0
        while process.poll() is None:
            peak = max(peak, _anonymous(status))
            time.sleep(0.001)
        assert process.stderr is not None
        said = process.stderr.read().decode()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said.strip()}")
    return peak


def _anonymous(status: Path) -> int:
    try:
        text = status.read_text()
    except OSError:  # it has just ended
        return 0
    return 1024 * int(text.split("RssAnon:")[1].split()[0]) if "RssAnon:" in text else 0


def peak_of_conversion(converter: Path, arguments: list[str]) -> int:
    """Bytes over those of the bare interpreter, planning and imports included."""
    return peak_of_process(converter, arguments) - _bare()


def peak_of_process(converter: Path, arguments: list[str]) -> int:
    """Bytes of all that the process holds."""
    return peak_anonymous([sys.executable, str(converter), *arguments])


@cache
def _bare() -> int:
    return peak_anonymous([sys.executable, "-c", "import time; time.sleep(0.3)"])
