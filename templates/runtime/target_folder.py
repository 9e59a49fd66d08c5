"""The target directory: written beside its place under another name, and moved there when it is whole.

So a target exists in full or not at all. The source is read only, and never lies inside the target.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch

from .errors import ConversionError
from .sizes import size_text
from .source_folder import CONFIG_FILE

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


def target_path(source: str, target: str, overwrite: bool) -> str:
    """The real path of the target, once nothing stands against writing there.

    Raises ConversionError where it exists (unless `overwrite`), or where one of the two contains the other.
    """
    source, target = os.path.realpath(source), os.path.realpath(target)
    for place in (target, _partial(target), _replaced(target)):
        if os.path.commonpath([source, place]) in (source, place):
            raise ConversionError(
                f"{target}: expected a target apart from the source, found {source} in one line with it; "
                "choose another directory"
            )
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(
            f"{os.path.dirname(target)}: expected the directory that the target is made in, found none"
        )
    if os.path.lexists(_replaced(target)):
        raise ConversionError(
            f"{_replaced(target)}: an overwriting that was cut off left the earlier target here; "
            "move it back or remove it"
        )
    if os.path.lexists(target) and not (overwrite and os.path.isdir(target)):
        raise ConversionError(
            f"{target}: expected no such directory, found one; --overwrite replaces it"
            if os.path.isdir(target)
            else f"{target}: expected no such directory, found a file"
        )
    return target


def check_room(target: str, size: int) -> None:
    """OSError where the file system of the target has less than `size` bytes free."""
    free = shutil.disk_usage(os.path.dirname(target)).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"expected {size_text(size)} free, found {size_text(free)}",
            target,
        )


@contextmanager
def target_folder(target: str) -> Iterator[str]:
    """A directory to write to, which becomes the target at the end of the block, or goes if it fails."""
    partial = _partial(target)
    if os.path.lexists(partial):
        shutil.rmtree(partial)  # left by a run that was killed
    os.mkdir(partial)
    try:
        yield partial
        _move(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
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
    read = {CONFIG_FILE, *weights}
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


def _move(partial: str, target: str) -> None:
    if not os.path.lexists(target):
        os.rename(partial, target)
        return
    old = _replaced(target)
    os.rename(target, old)
    try:
        os.rename(partial, target)
    except BaseException:
        os.rename(old, target)
        raise
    shutil.rmtree(old)


def _partial(target: str) -> str:
    return os.path.join(
        os.path.dirname(target), f".{os.path.basename(target)}.mapc-partial"
    )


def _replaced(target: str) -> str:
    return os.path.join(
        os.path.dirname(target), f".{os.path.basename(target)}.mapc-replaced"
    )
