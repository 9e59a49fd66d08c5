"""Arguments that make no sense: the caller is mistaken, not the checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable


class UsageError(ValueError):
    """The arguments of a call, or of the command line, make no sense; nothing has been read yet."""


def check_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """UsageError for the first name that is not known."""
    for name in names:
        if name not in known:
            raise UsageError(
                f"{what}: expected {', '.join(known) or 'none'}, found {name!r}"
            )
