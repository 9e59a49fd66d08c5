"""What is measured: a conversion each, and what its time must reach beside `cp`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Copy:
    """A conversion from folder to folder, beside `cp` of its source.

    With `back`, the source is what the same conversion wrote going there. `must` is the highest ratio to `cp`, by
    number of threads.
    """

    name: str
    model: str
    map: str
    layouts: tuple[str, str]
    must: Mapping[int, float]
    ranks: int = 1
    back: bool = False
    cold: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command, without its folders; going back, a source says itself what its mesh is."""
        if self.back:
            return (f"to-{self.layouts[0]}",)
        return self.there

    @property
    def there(self) -> tuple[str, ...]:
        """The command of the way there."""
        mesh = () if self.ranks == 1 else ("--tp", str(self.ranks))
        return (f"to-{self.layouts[1]}", *mesh)


MEGATRON = ("hf", "mcore")

WORKS: tuple[Copy, ...] = (
    Copy("llama tp=1", "llama", "llama", MEGATRON, {1: 0.7, 2: 0.5}),
    Copy("llama tp=1 back", "llama", "llama", MEGATRON, {1: 0.7, 2: 0.5}, back=True),
    Copy("llama tp=4", "llama", "llama", MEGATRON, {1: 0.8, 2: 0.5}, 4),
    Copy("llama tp=4 back", "llama", "llama", MEGATRON, {1: 0.8, 2: 0.5}, 4, back=True),
    Copy("llama tp=1 cold", "llama", "llama", MEGATRON, {1: 1.1, 2: 1.1}, cold=True),
    Copy("llama tp=4 cold", "llama", "llama", MEGATRON, {1: 1.1, 2: 1.1}, 4, cold=True),
)
