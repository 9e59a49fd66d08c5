"""Values that change on the way: the arithmetic that a map states on tensors, and the dtypes that it fixes.

An equation with arithmetic says that what the steps make of the stored values is equal on both sides. So a target is
made of a source by the source's steps and then by the target's, inverted and backwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .errors import ConversionError
from .fills import ROUNDED, Fill, Filled, Region, check_fill, fill_region

if TYPE_CHECKING:
    from torch import Tensor

# How each step is undone.
INVERSES = {"+": "-", "-": "+", "*": "/", "/": "*"}
INVERSES |= {"neg": "neg", "exp": "log", "log": "exp"}
# The dtypes that are computed with: as safetensors and as torch name them; and others that can be made.
FLOAT_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
}
MADE_DTYPES = {"U8": "uint8", "BOOL": "bool"}
MADE_DTYPES |= FLOAT_DTYPES | {f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}
# Those of safetensors whose elements are whole bytes, by the name in a header: the bytes of an element, and what torch
# calls the dtype.
STORED_DTYPES: dict[str, tuple[int, str]] = {
    "BOOL": (1, "bool"),
    "U8": (1, "uint8"),
    "I8": (1, "int8"),
    "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E4M3FNUZ": (1, "float8_e4m3fnuz"),
    "F8_E5M2": (1, "float8_e5m2"),
    "F8_E5M2FNUZ": (1, "float8_e5m2fnuz"),
    "F8_E8M0": (1, "float8_e8m0fnu"),
    "U16": (2, "uint16"),
    "I16": (2, "int16"),
    "F16": (2, "float16"),
    "BF16": (2, "bfloat16"),
    "U32": (4, "uint32"),
    "I32": (4, "int32"),
    "F32": (4, "float32"),
    "U64": (8, "uint64"),
    "I64": (8, "int64"),
    "F64": (8, "float64"),
    "C64": (8, "complex64"),
}


class Step(NamedTuple):
    """One operation on every element: `+ - * /` with a number, or `neg`, `exp`, `log`."""

    operator: str
    operand: Any = 0.0


Steps: TypeAlias = "tuple[Step, ...]"


class Values(NamedTuple):
    """What a map says of a tensor's values: the steps from what is stored to what the equation is about.

    `dtype` is what it is always stored in, as safetensors names it; None: as the checkpoint says. `default` is what
    is stored where the tensor is absent.
    """

    steps: Steps = ()
    dtype: str | None = None
    default: Fill | None = None


class Stored(NamedTuple):
    """A source of a target: where it is, its dtype, and what the map says of its values.

    A source that is absent has no dtype; `filled` is what stands in its place.
    """

    where: Any
    dtype: Any
    values: Values | None
    filled: Filled | None = None


class Change(NamedTuple):
    """What becomes of the elements of one source, which are stored in `dtype`, on their way into one target."""

    dtype: str
    steps: Steps
    filled: Filled | None = None


class Written(NamedTuple):
    """The dtype of a target, whether it stays whatever --dtype says, and a change for each source.

    There is none where every element is moved as it is.
    """

    dtype: Any
    fixed: bool
    changes: tuple[Change, ...]


def written_values(
    where: str,
    name: str,
    sources: tuple[Stored, ...],
    every: tuple[Stored, ...],
    target: Values | None,
    config_dtype: Callable[[], str | None],
) -> Written:
    """How a target comes of its sources; ConversionError where nothing says its dtype or it cannot be computed.

    `sources` fill what one rank holds of it, `every` are those of all ranks: they say the dtype, which is one.
    `config_dtype` is what the target's config says, for tensors whose source has a dtype of its own.
    """
    said = [source.values for source in every if source.values is not None]
    if target is None and not said:
        return Written(_same_dtype(where, name, every), False, ())
    dtype = target.dtype if target is not None else None
    fixed = dtype is not None
    present = tuple(source for source in every if source.filled is None)
    if dtype is None and (not present or any(values.dtype for values in said)):
        dtype = config_dtype()
    if dtype is None and not present and said:
        dtype = next((values.dtype for values in said if values.dtype), "F32")
    if dtype is None:
        free = tuple(s for s in present if s.values is None or s.values.dtype is None)
        dtype = dtype_code(_same_dtype(where, name, free or present))
    changes = [_change(where, source, target, dtype) for source in sources]
    if not any(changes):
        return Written(sources[0].dtype if sources else dtype, fixed, ())
    made = [
        one or Change(dtype_code(source.dtype), ())
        for one, source in zip(changes, sources)
    ]
    return Written(dtype, fixed, tuple(made))


def _same_dtype(where: str, name: str, sources: tuple[Stored, ...]) -> Any:
    """The dtype that all sources of a target have."""
    if not sources:
        raise ConversionError(
            f"{name}: no tensor of the source goes into it, so nothing says its dtype ({where})"
        )
    first = sources[0]
    for source in sources:
        if source.dtype != first.dtype:
            raise ConversionError(
                f"{name}: its parts differ in dtype, {first.where} is {first.dtype} and {source.where} is "
                f"{source.dtype} ({where}); cast one of them first"
            )
    return first.dtype


def _change(
    where: str, source: Stored, target: Values | None, dtype: str
) -> Change | None:
    """The change of a source on its way into a target of a dtype; None where its elements stay as they are."""
    code = dtype if source.filled is not None else dtype_code(source.dtype)
    asked = source.values.dtype if source.values is not None else None
    if source.filled is None and asked not in (None, code):
        raise ConversionError(
            f"{source.where}: expected {asked}, which the map fixes, found {source.dtype} ({where})"
        )
    forth = source.values.steps if source.values is not None else ()
    back = target.steps if target is not None else ()
    for step in (*forth, *back):
        _check_step(where, step)
    steps = tuple(
        step
        for step in (*forth, *map(_undone, reversed(back)))
        if not _is_nothing(step)
    )
    if source.filled is not None:
        check_fill(where, source.filled.fill, source.filled.shape, dtype)
        return Change(dtype, steps, source.filled)
    if not steps and code == dtype:
        return None
    if code not in FLOAT_DTYPES:
        raise ConversionError(
            f"{source.where}: expected a dtype among {', '.join(FLOAT_DTYPES)} to compute with, "
            f"found {source.dtype} ({where})"
        )
    return Change(code, steps)


def _check_step(where: str, step: Step) -> None:
    """ConversionError for an operand that is no number, or that cannot be divided by."""
    operator, operand = step
    number = type(operand) in (int, float) and math.isfinite(operand)
    if not number or (operator in "*/" and operand == 0):
        kind = "a number other than 0" if operator in "*/" else "a number"
        raise ConversionError(
            f"{where}: expected {kind} behind `{operator}`, found {operand!r}"
        )


def _undone(step: Step) -> Step:
    """The step that leads back."""
    return step._replace(operator=INVERSES[step.operator])


def _is_nothing(step: Step) -> bool:
    return (step.operator in ("+", "-") and step.operand == 0) or (
        step.operator in ("*", "/") and step.operand == 1
    )


def dtype_code(dtype: Any) -> str:
    """A dtype as a safetensors header names it; one of torch that is neither computed with nor made as torch does."""
    codes = {f"torch.{name}": code for code, name in MADE_DTYPES.items()}
    return codes.get(str(dtype), str(dtype))


def stored_dtype(dtype: Any) -> str:
    """A dtype of torch as a safetensors header names it; one that none has as torch does."""
    codes = {f"torch.{name}": code for code, (_, name) in STORED_DTYPES.items()}
    return codes.get(str(dtype), str(dtype))


def torch_dtype(dtype: Any) -> Any:
    """A dtype as torch has it, given so or by its name in safetensors headers."""
    if not isinstance(dtype, str):
        return dtype
    import torch

    return getattr(torch, MADE_DTYPES.get(dtype, dtype.removeprefix("torch.")))


def config_dtype(config: Mapping[str, Any]) -> str | None:
    """The dtype that a config.json says its weights have, as safetensors names it; None where it says none."""
    said = config.get("dtype") or config.get("torch_dtype")
    code = dtype_code(f"torch.{str(said).removeprefix('torch.')}")
    return code if code in FLOAT_DTYPES else None


def compute(values: Tensor, steps: Steps) -> Tensor:
    """The steps one after the other, in float32 or, where that is wider, in the dtype of the values.

    What comes back is not rounded to another dtype yet, so copying it rounds once.
    """
    import torch

    if not steps:
        return values
    wide = torch.promote_types(values.dtype, torch.float32)
    result = values.to(wide, copy=True, memory_format=torch.contiguous_format)
    for operator, operand in steps:
        # Not a plain number, since some devices divide by one as they multiply by its inverse.
        number = torch.tensor(float(operand), dtype=wide, device=result.device)
        match operator:
            case "+":
                result += number
            case "-":
                result -= number
            case "*":
                result *= number
            case "/":
                result /= number
            case "neg":
                result.neg_()
            case (
                "exp" | "log"
            ):  # in float64, so that it is the same wherever it is done
                result = getattr(result.double(), operator)().to(wide)
            case _:
                raise AssertionError(f"no step is called {operator}")
    return result


def fill_block(target: Tensor, block: Any, change: Change, base: int = 0) -> None:
    """Put a block of a source that is absent into a flat target, from element `base` of the whole tensor on."""
    assert change.filled is not None, "the source is absent"
    region = Region(
        block.start, block.steps, block.offset - base, block.strides, block.counts
    )
    fill_region(
        target,
        region,
        change.filled,
        base,
        lambda values: compute(values, change.steps),
    )


def unequal(one: Tensor, other: Tensor, changes: tuple[Change, ...]) -> int | None:
    """The first element in which a stored tensor differs from what is made; None where there is none.

    Values that others compute in floating point may differ in the last digits.
    """
    import torch

    if any(c.filled is not None and c.filled.fill.function in ROUNDED for c in changes):
        digits = 4 * torch.finfo(one.dtype).eps
        same = torch.isclose(one.double(), other.double(), rtol=digits, atol=0)
    else:
        same = one == other
    return None if bool(same.all()) else int((~same).to(torch.int8).argmax())
