"""The folder of a checkpoint that is the latest, where a directory has several and a file beside them says which."""

from __future__ import annotations

import os

from .errors import ConversionError
from .output_files import OutputFile
from .source_files import SourceFiles, open_regular

LATEST_FILE = "latest_checkpointed_iteration.txt"
RELEASE = "release"  # the folder of a checkpoint that no training wrote
LATEST_LIMIT = 100  # bytes


def place_below(files: SourceFiles, name: str) -> tuple[str, str]:
    """A folder and a name in it, for a name in the map that may begin with that of a release.

    The folder is the latest of a directory, or the directory itself, "".
    """
    below = below_release(name)
    return ("" if below == name else _latest_folder(files)), below


def below_release(name: str) -> str:
    """A name without the folder of a release."""
    return name.removeprefix(f"{RELEASE}/")


def _latest_folder(files: SourceFiles) -> str:
    """The folder that is said to be the latest, or the release; the directory itself, "", where there is neither."""
    path = os.path.join(files.path, LATEST_FILE)
    if os.path.lexists(path):
        said = _text(files).strip()
        folder = f"iter_{int(said):07}" if said.isdecimal() else said
        if folder != RELEASE and not said.isdecimal():
            raise ConversionError(
                f"{path}: expected a number of steps or {RELEASE!r}, found {said!r}"
            )
        if not os.path.isdir(files.place(folder)):
            raise ConversionError(
                f"{path}: expected the folder {folder}, which it names, found none"
            )
        return folder
    return RELEASE if os.path.isdir(files.place(RELEASE)) else ""


def _text(files: SourceFiles) -> str:
    path = files.place(LATEST_FILE)
    descriptor, seen = open_regular(path)
    with open(descriptor, "rb") as file:
        files.seen[path] = seen
        return file.read(LATEST_LIMIT).decode("ascii", "replace")


def latest_files(files: SourceFiles) -> list[str]:
    """The file that says which folder is the latest, if it has been read."""
    path = os.path.join(files.path, LATEST_FILE)
    return [LATEST_FILE] if path in files.seen else []


def latest_documents(files: list[OutputFile]) -> dict[str, bytes]:
    """The file that says so of a release, if these files are one."""
    is_release = any(below_release(file.name) != file.name for file in files)
    return {LATEST_FILE: RELEASE.encode("ascii")} if is_release else {}
