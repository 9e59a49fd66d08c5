"""The target directory: written beside its place under another name, and moved there when it is whole.

So a target exists in full or not at all, also where a run is killed, and one run at a time makes it. The source is read
only, and never lies inside the target.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import NamedTuple

from .errors import ConversionError
from .lock import locked
from .sizes import size_text
from .source_folder import CONFIG_FILE
from .swapping import put_into_place, sync, sync_folder

LEDGER_FILE = "mapc.json"  # of the run that wrote a directory; never of its source
# Files beside the weights that mean the same in every layout.
COPIED_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template*",
    "preprocessor_config.json",
    "processor_config.json",
    "*.model",
    "*.tiktoken",
    "*.jinja",
    "README.md",
    "LICENSE*",
    "USE_POLICY*",
    "NOTICE*",
)


class TargetPlace(NamedTuple):
    """The directory to make, by its real path, and how it is made."""

    path: str
    overwrite: bool
    resume: bool  # keep what is written if the run is cut off, and go on with it
    fsync: bool  # the disk has it all before it takes its place

    def beside(self, what: str) -> str:
        """The name beside the target that a run uses for something."""
        folder, name = os.path.split(self.path)
        return os.path.join(folder, f".{name}.mapc-{what}")


def check_target(target: TargetPlace, source: str, files: Iterable[str]) -> None:
    """See that nothing stands against making the target. `files` are those of the source, relative to it.

    Raises ConversionError where it exists and is not to be overwritten, where another run makes it, or where one of
    source and target contains the other.
    """
    _check_apart(target, os.path.realpath(source), files)
    path, aside = target.path, target.beside("replaced")
    if not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(
            f"{os.path.dirname(path)}: expected the directory that the target is made in, found none"
        )
    if os.path.lexists(aside) and not os.path.lexists(path):
        raise ConversionError(
            f"{aside}: an overwriting that was cut off left the earlier target here; "
            "move it back or remove it"
        )
    if os.path.lexists(path) and not (target.overwrite and os.path.isdir(path)):
        raise ConversionError(
            f"{path}: expected no such directory, found one; --overwrite replaces it"
            if os.path.isdir(path)
            else f"{path}: expected no such directory, found a file"
        )
    if os.path.lexists(target.beside("lock")):
        with locked(target.beside("lock"), path):
            pass  # nobody writes there


def check_room(target: TargetPlace, size: int) -> None:
    """OSError where the file system of the target has less than `size` bytes free, or taken by what a run has left."""
    free = shutil.disk_usage(os.path.dirname(target.path)).free
    for place, _, names in os.walk(target.beside("partial")):
        found = [os.lstat(os.path.join(place, name)) for name in names]
        free += sum(512 * file.st_blocks for file in found if file.st_nlink == 1)
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"expected {size_text(size)} free, found {size_text(free)}",
            target.path,
        )


@contextmanager
def target_folder(target: TargetPlace) -> Iterator[str]:
    """A directory to write to, which becomes the target at the end of the block.

    If the block fails it goes. Where the run may be resumed it stays, and what is in it at the beginning stays too.
    """
    partial = target.beside("partial")
    with locked(target.beside("lock"), target.path):
        try:
            _begin(target, partial)
            yield partial
            _finish(target, partial)
        except BaseException:
            if not target.resume:
                _clear_away(partial)
            raise


def other_files(source: str, weights: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What else is in the source: the files that are copied along, and what is left there."""
    folders = {"", *(folder for name in weights for folder in _folders(name))}
    others = [
        os.path.join(folder, name)
        for folder in sorted(folders)
        for name in sorted(os.listdir(os.path.join(source, folder)))
        if not name.startswith(".")
    ]
    read = {CONFIG_FILE, LEDGER_FILE, *weights}
    names = [name for name in others if name not in read and name not in folders]
    copied = [
        name
        for name in names
        if os.path.isfile(os.path.join(source, name))
        and any(
            name == os.path.basename(name) and fnmatch(name, form)
            for form in COPIED_FILES
        )
    ]
    return copied, [name for name in names if name not in copied]


def _folders(name: str) -> Iterator[str]:
    """The folders that a file is in, without that of the checkpoint itself."""
    while name := os.path.dirname(name):
        yield name


def _check_apart(target: TargetPlace, source: str, files: Iterable[str]) -> None:
    """ConversionError where the target, or what is removed beside it, contains the source, or is in it."""
    places = [target.path, *map(target.beside, ("partial", "replaced", "lock"))]
    files = {*files, *os.listdir(source)}
    real = {os.path.realpath(os.path.join(source, name)) for name in files}
    folders = {os.path.dirname(path) for path in real} | {source}
    for folder in sorted(folders):
        for place in places:
            if _is_within(folder, place) or _is_within(place, source):
                raise ConversionError(
                    f"{target.path}: expected a target apart from the source, found {folder} in one line with it; "
                    "choose another directory"
                )


def _is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it: by its name, or as the same folder under another name."""
    above = [path]
    while os.path.dirname(above[-1]) != above[-1]:
        above.append(os.path.dirname(above[-1]))
    return folder in above or (
        os.path.exists(folder)
        and any(
            os.path.samefile(folder, path) for path in above if os.path.exists(path)
        )
    )


def _begin(target: TargetPlace, partial: str) -> None:
    """Make the directory to write to, and remove what runs that were killed have left."""
    aside = target.beside("replaced")
    if os.path.lexists(aside) and os.path.lexists(target.path):
        _remove_whatever(aside)  # the new target was in its place already
    is_folder = os.path.isdir(partial) and not os.path.islink(partial)
    if os.path.lexists(partial) and not (is_folder and target.resume):
        _remove_whatever(partial)
    os.makedirs(partial, exist_ok=True)


def _remove_whatever(path: str) -> None:
    """Remove a folder, or whatever else somebody has put into its place."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def _finish(target: TargetPlace, partial: str) -> None:
    """Put the directory into its place, and remove the target that was there."""
    if target.fsync:
        sync_folder(partial)
    put_into_place(partial, target.path, target.beside("replaced"), target.overwrite)
    if target.fsync:
        sync(os.path.dirname(target.path))
    if os.path.lexists(partial):
        shutil.rmtree(partial)


def _clear_away(folder: str) -> None:
    """Remove a folder, even if an interrupt comes meanwhile."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
