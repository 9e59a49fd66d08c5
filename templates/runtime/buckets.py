"""Buckets: a stream whose targets are made in flat buffers, of which one can be sent while the other is filled.

A bucket says of each target where it lies, so whoever has these numbers and the bytes has the tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from .batches import Batch
from .checks import Source
from .errors import ConversionError
from .feeding import Feeding
from .grid import Counts
from .layouts import Converter
from .transfers import Transfer
from .values import stored_dtype, torch_dtype

if TYPE_CHECKING:
    from torch import Tensor

# A target begins at a multiple of so many bytes, as memory of its own does on a GPU: views are as fast as that.
BUCKET_ALIGNMENT = 512


class Span(NamedTuple):
    """Where a target lies in a buffer: it begins at byte `offset`."""

    name: str
    dtype: Any
    shape: Counts
    offset: int

    @property
    def end(self) -> int:
        """The byte behind it."""
        return self.offset + prod(self.shape) * int(self.dtype.itemsize)

    def view(self, buffer: Tensor) -> Tensor:
        """The target, whose memory is that of a flat uint8 buffer."""
        return buffer[self.offset : self.end].view(self.dtype).view(self.shape)


class Bucket(NamedTuple):
    """Tensors in one flat uint8 buffer, row-major, each from its offset on: a number of bytes, a multiple of 512.

    What lies between them is of no meaning. A receiver makes one of the first four and of the bytes that it received.
    """

    names: tuple[str, ...]
    dtypes: tuple[Any, ...]  # torch's
    shapes: tuple[Counts, ...]
    offsets: tuple[int, ...]
    buffer: Tensor

    @property
    def end(self) -> int:
        """The byte behind the last tensor: so many are sent."""
        return max((span.end for span in self._described()), default=0)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name: views of the buffer. ValueError where it is too short."""
        return {span.name: span.view(self.buffer) for span in self._spans()}

    def fingerprint(self) -> str:
        """The fingerprint of a checkpoint of these tensors alone, the same on every device. ValueError as above.

        That is the sha256 of a line a tensor, in the order of their names: a JSON list of name, dtype as in a
        safetensors file, shape, and the sha256 of its bytes. It copies the buffer to the CPU and waits for that.
        """
        spans, whole = self._spans(), sha256()
        data = memoryview(_bytes_of(self.buffer[: self.end]))
        for span in sorted(spans, key=lambda span: span.name):
            digest = sha256(data[span.offset : span.end]).hexdigest()
            line = [span.name, stored_dtype(span.dtype), span.shape, digest]
            whole.update(f"{json.dumps(line)}\n".encode("ascii"))
        return whole.hexdigest()

    def _spans(self) -> list[Span]:
        """Where each tensor lies, all of it within the buffer."""
        if self.buffer.numel() < self.end:
            raise ValueError(
                f"expected a buffer of {self.end} bytes, found {self.buffer.numel()}"
            )
        return self._described()

    def _described(self) -> list[Span]:
        described = zip(self.names, self.dtypes, self.shapes, self.offsets)
        return [Span(*one) for one in described]


class TensorBuckets(Feeding):
    """A stream that yields buckets, which do not depend on how the tensors are batched, but on their order.

    What one statement makes of one layer or expert lies in one bucket. Two buffers are used in turn: a bucket is valid
    until, once the next one has come, the stream is asked for more. They are on the device of the tensor that is fed first.
    What kernels make is made when its bucket is handed out, in a few launches; until then the tensors that they read wait.
    """

    def __init__(
        self,
        converter: Converter,
        to: str,
        config: Any,
        mesh: Any,
        rank: Any,
        bucket_bytes: int,
        max_pending: int | None,
        allow_narrowing: bool,
    ) -> None:
        if type(bucket_bytes) is not int or bucket_bytes < 1:
            raise ValueError(f"bucket_bytes: expected 1 or more, not {bucket_bytes!r}")
        super().__init__(
            converter, to, config, mesh, rank, None, max_pending, allow_narrowing
        )
        self._bucket_bytes = bucket_bytes
        self._device: Any = None
        self._buffers: list[Tensor] = []
        self._turn = 0  # whose buffer is filled
        self._spans: list[Span] = []  # what is in it
        self._group: list[Transfer] | None = None  # what comes into it next
        self._batch = Batch(allow_narrowing)
        self._kept: list[Source] = []  # what it reads
        self._kept_bytes = 0
        self._most_kept = min(bucket_bytes, max_pending or bucket_bytes)

    @property
    def buffer_bytes(self) -> int:
        """The bytes of the buffers: none before the first target, then one bucket, and two once that is full."""
        return sum(buffer.nbytes for buffer in self._buffers)

    @property
    def most_bytes(self) -> int:
        """No more bytes than these has the stream held at once: tensors that wait, and buffers."""
        return self.most_pending + self.buffer_bytes

    def feed(
        self, name: str, tensor: Tensor | Sequence[Tensor], rank: Any = None
    ) -> Iterator[Bucket]:
        """Take a tensor of the source, as `feed` of `Stream` does; the buckets that are full, each made when it is asked for.

        Raises what that does, and ConversionError for a group of targets that is larger than a bucket.
        """
        self._fed(name, tensor, rank)
        return self._buckets()

    def close(self) -> Iterator[Bucket]:
        """End the stream; the buckets that are left. Raises ConversionError where a target misses something."""
        self._closed()
        return self._buckets(to_the_end=True)

    def _take(self, source: Source, tensor: Tensor) -> None:
        super()._take(source, tensor)
        if self._device is None:
            self._device = tensor.device

    def _buckets(self, to_the_end: bool = False) -> Iterator[Bucket]:
        """Fill buffers with the groups that are complete; each that is full is handed out before the other is touched."""
        while (group := self._unmade()) is not None:
            end = self._spans[-1].end if self._spans else 0
            spans = _spans_of(group, end)
            if spans and spans[-1].end > self._bucket_bytes:
                self._check_size(group)
                yield self._handed_out()
                continue
            for transfer, span in zip(group, spans):
                self._batch.fill(transfer, self._found, span.view(self._buffer()))
            self._spans += spans
            self._group = None
            self._keep()
            if not self._batch.moves or self._kept_bytes > self._most_kept:
                self._make()
        if to_the_end and self._spans:
            yield self._handed_out()

    def _unmade(self) -> list[Transfer] | None:
        """The group that is made next, which stays that until it is made; None where there is none."""
        if self._group is None:
            self._group = self._next_group()
        return self._group

    def _check_size(self, group: list[Transfer]) -> None:
        """ConversionError where a bucket does not hold a group."""
        size, first = _spans_of(group, 0)[-1].end, group[0]
        if size > self._bucket_bytes:
            others = f" and {len(group) - 1} more" if len(group) > 1 else ""
            raise ConversionError(
                f"{first.name}{others}: expected at most the {self._bucket_bytes} bytes of a bucket, found {size}, which "
                f"come in one bucket ({first.where}); bucket_bytes={size} is enough for them"
            )

    def _buffer(self) -> Tensor:
        """The buffer that is filled."""
        import torch

        if self._turn == len(self._buffers):
            buffer = torch.zeros(
                self._bucket_bytes, dtype=torch.uint8, device=self._device or "cpu"
            )
            self._buffers.append(buffer)
        return self._buffers[self._turn]

    def _make(self) -> None:
        """Give the targets in the buffer their values: those that kernels make all at once, others group by group."""
        self._batch.make(self._found)
        self._batch = Batch(self._allow_narrowing)
        self._give_up(self._kept)
        self._kept_bytes = 0

    def _keep(self) -> None:
        """Keep what the last group reads until it is made."""
        self._kept += self._spent
        for rank, name in self._spent:
            self._kept_bytes += self._found[rank][name].nbytes
        self._spent = []

    def _handed_out(self) -> Bucket:
        """What has been filled; the other buffer is filled next."""
        self._make()
        names, dtypes, shapes, offsets = zip(*self._spans)
        buffer = self._buffer()[: self._spans[-1].end]
        self._spans, self._turn = [], 1 - self._turn
        return Bucket(names, dtypes, shapes, offsets, buffer)


def _spans_of(group: Iterable[Transfer], end: int) -> list[Span]:
    """Where the targets of a group lie in a buffer that is filled up to a byte."""
    spans = []
    for transfer in group:
        offset = -(-end // BUCKET_ALIGNMENT) * BUCKET_ALIGNMENT
        dtype = torch_dtype(transfer.dtype)
        spans.append(Span(transfer.name, dtype, transfer.shape, offset))
        end = spans[-1].end
    return spans


def _bytes_of(buffer: Tensor) -> bytearray:
    """A copy of a buffer, on whatever device it is."""
    import torch

    data = bytearray(buffer.numel())
    if data:
        torch.frombuffer(data, dtype=torch.uint8).copy_(buffer)
    return data
