"""Where included files are found: beside the file that includes them, in given folders, among the shipped maps.

Nothing outside these folders is read: a path has no `..`, does not start at the root, and no link leads out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..dsl import syntax
from ..dsl.reading import MOST
from .problems import refuse

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

LONGEST = 200  # characters of a path
_PATH = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.map", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A file: the folder that it must not lead out of, and its path from there."""

    folder: Traversable
    path: PurePosixPath

    def beside(self, path: str) -> Place:
        """The place of a path that this file includes."""
        return Place(self.folder, self.path.parent / path)

    @property
    def file(self) -> Traversable:
        return self.folder.joinpath(*self.path.parts)

    @property
    def known_as(self) -> str:
        """What tells the file from others, whatever path leads to it."""
        file = self.file
        return str(file.resolve() if isinstance(file, Path) else file)


@dataclass(frozen=True, slots=True)
class Library:
    """The folders that a map includes files from: its own, where it is a file, and others in order."""

    home: Place | None
    given: tuple[Path, ...]
    shipped: Traversable

    def find(self, include: syntax.Include, here: Place | None) -> Place:
        """The file that an `include` in the file at `here` means. Raises MapError."""
        if not _PATH.fullmatch(include.path) or len(include.path) > LONGEST:
            refuse(
                "M0130",
                f"expected a path such as `parts/norms.map`, found `{include.path}`",
                include.span,
                help="words with `/` between them; it is looked for beside this file, "
                "in the folders of --include, and among the shipped maps",
            )
        for place in self._places(include.path, here):
            if place.file.is_file():
                _check_inside(place, include)
                return place
        refuse(
            "M0131",
            f"no file `{include.path}` is beside this one, in a folder of --include, or shipped",
            include.span,
        )

    def _places(self, path: str, here: Place | None) -> Iterator[Place]:
        if here is not None:
            yield here.beside(path)
        for folder in (*self.given, self.shipped):
            yield Place(folder, PurePosixPath(path))


def library(home: Path | None, folders: Sequence[str | Path]) -> Library:
    """The library of a map in the file `home`, or of a text; the shipped maps come last."""
    place = None if home is None else Place(home.parent, PurePosixPath(home.name))
    if isinstance(folders, (str, Path)):
        raise TypeError(f"expected a list of folders, found {folders!r}")
    given = tuple(Path(folder) for folder in folders)
    return Library(place, given, files("mapc.dsl") / "maps")


def read(place: Place, include: syntax.Include, room: int) -> bytes:
    """The content of an included file, which may have `room` characters. Raises MapError, OSError."""
    with place.file.open("rb") as file:
        data = file.read(4 * room + 1)
    if len(data) > 4 * room:
        refuse(
            "M0134",
            f"expected at most {MOST} characters of included text, found more",
            include.span,
        )
    return data


def _check_inside(place: Place, include: syntax.Include) -> None:
    """No symbolic link leads out of the folder."""
    if isinstance(place.folder, Path):
        inside = place.folder.resolve()
        if not Path(place.known_as).is_relative_to(inside):
            refuse(
                "M0132",
                f"`{include.path}` leads out of the folder that it is in",
                include.span,
                help="a link to a file in another folder is not followed",
            )
