"""Values that change on the way: the arithmetic that a map states on tensors.

An equation with arithmetic says that what the steps make of the stored values is equal on both sides. So a target is
made of a source by the source's steps and then by the target's, inverted and backwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .errors import ConversionError

if TYPE_CHECKING:
    from torch import Tensor

# How each step is undone.
INVERSES = {"+": "-", "-": "+", "*": "/", "/": "*"}
INVERSES |= {"neg": "neg", "exp": "log", "log": "exp"}
# The dtypes that arithmetic is done on, as safetensors and as torch name them.
FLOAT_DTYPES = {
    "F64": "torch.float64",
    "F32": "torch.float32",
    "F16": "torch.float16",
    "BF16": "torch.bfloat16",
}


class Step(NamedTuple):
    """One operation on every element: `+ - * /` with a number, or `neg`, `exp`, `log`."""

    operator: str
    operand: Any = 0.0


Steps: TypeAlias = "tuple[Step, ...]"


class Values(NamedTuple):
    """What a map says of a tensor's values: the steps from what is stored to what the equation is about."""

    steps: Steps = ()


class Change(NamedTuple):
    """What becomes of the elements of one source, which are stored in `dtype`, on their way into one target."""

    dtype: str
    steps: Steps


def change(
    where: str, source: tuple[str, Any, Values | None], target: Values | None
) -> Change | None:
    """The change of a source, given by its name, dtype and values; None where its elements stay as they are.

    ConversionError where they cannot be computed.
    """
    name, dtype, values = source
    forth = values.steps if values is not None else ()
    back = target.steps if target is not None else ()
    for step in (*forth, *back):
        check_step(where, step)
    steps = tuple(
        step for step in (*forth, *map(undone, reversed(back))) if not _is_nothing(step)
    )
    if not steps:
        return None
    code = dtype_code(dtype)
    if code not in FLOAT_DTYPES:
        raise ConversionError(
            f"{name}: expected a dtype among {', '.join(FLOAT_DTYPES)} to compute with, found {dtype} "
            f"({where})"
        )
    return Change(code, steps)


def check_step(where: str, step: Step) -> None:
    """ConversionError for an operand that is no number, or that cannot be divided by."""
    operator, operand = step
    number = type(operand) in (int, float) and math.isfinite(operand)
    if not number or (operator in "*/" and operand == 0):
        kind = "a number other than 0" if operator in "*/" else "a number"
        raise ConversionError(
            f"{where}: expected {kind} behind `{operator}`, found {operand!r}"
        )


def undone(step: Step) -> Step:
    """The step that leads back."""
    return step._replace(operator=INVERSES[step.operator])


def _is_nothing(step: Step) -> bool:
    return (step.operator in ("+", "-") and step.operand == 0) or (
        step.operator in ("*", "/") and step.operand == 1
    )


def dtype_code(dtype: Any) -> str:
    """A dtype as a safetensors header names it; one of torch that no arithmetic is done on as torch does."""
    codes = {name: code for code, name in FLOAT_DTYPES.items()}
    return codes.get(str(dtype), str(dtype))


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
