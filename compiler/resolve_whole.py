"""Equations of several tensors: whole ones, tails, optional ones, and those that come apart into one statement a tensor."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..dsl import syntax
from . import hir
from .layout import axis_indices, leaves, matched
from .problems import refuse


def is_whole(term: syntax.Term) -> bool:
    """Whether a term is a tensor of any shape."""
    return term.axes is None or term.axes.any


def check_terms(node: syntax.Equation) -> None:
    """Refuse an equation whose terms are not all whole or all with axes, not all optional or none."""
    terms = node.left + node.right
    for term in terms:
        if is_whole(term) != is_whole(terms[0]):
            refuse(
                "M0260",
                "a whole tensor in an equation of tensors with axes",
                next(term for term in terms if is_whole(term)).span,
                help="a name without axes moves unchanged, to a name without axes",
            )
        if term.optional != terms[0].optional:
            refuse(
                "M0261",
                "an optional tensor in an equation whose other tensors must be there",
                next(term for term in terms if term.optional).span,
                help="the tensors of an equation are there all together or not at all: all have `?`, or none",
            )
    _check_tails(node)
    if node.input_axis is not None and is_whole(terms[0]):
        refuse(
            "M0262", "`in` behind whole tensors, whose axes have no names", node.span
        )


def _check_tails(node: syntax.Equation) -> None:
    """Refuse `**` anywhere but once in each name of an equation of plain whole tensors."""
    terms = node.left + node.right
    names = [name for term in terms for name in _names(term)]
    deep = [sum(isinstance(part, syntax.Deep) for part in name.parts) for name in names]
    if not any(deep):
        return
    for name, count in zip(names, deep, strict=True):
        if count != 1:
            refuse(
                "M0264",
                f"`**` stands {count} times in this name, expected once in each name of the equation",
                name.span,
                help="what it stands for on one side stands in its place on the other",
            )
    for term in terms:
        if not is_whole(term):
            refuse(
                "M0265",
                "axes behind a name with `**`, which stands for tensors of any shape",
                term.span,
            )
        if term.optional or term.ties:
            what = "`?`" if term.optional else "a tie"
            refuse(
                "M0266",
                f"{what} behind a name with `**`, which takes what is there",
                term.span,
                help="leave it out",
            )
    if node.derived:
        refuse(
            "M0266",
            f"`with {node.derived[0].kind}` behind a name with `**`, which takes what is there",
            node.derived[0].span,
            help="leave it out",
        )


def _names(term: syntax.Term) -> list[syntax.Name]:
    """The names of a term: its own and those that it is tied to."""
    own = [term.tensor] if isinstance(term.tensor, syntax.Name) else []
    return [*own, *(tie.name for tie in term.ties)]


def by_name(
    node: syntax.Equation,
    left: tuple[hir.Tensor, ...],
    right: tuple[hir.Tensor, ...],
    known: Collection[str],
) -> Iterator[tuple[tuple[hir.Tensor, ...], tuple[hir.Tensor, ...]]]:
    """The sides of each statement that an equation makes: one, or one a name where each tensor has its own.

    `known` are the bound names. A size that is measured is the same in all tensors of an equation, so such an
    equation is one statement; so is an optional one, whose tensors are there together.
    """
    if left[0].whole and len(left) != len(right):
        refuse(
            "M0263",
            f"{len(left)} whole tensors on the left and {len(right)} on the right",
            node.span,
            help="the first name on the left is the first on the right, and so on",
        )
    if left[0].whole or (not node.left[0].optional and _apart(left, right, known)):
        for one, other in zip(left, right, strict=True):
            yield (one,), (other,)
    else:
        yield left, right


def _apart(
    left: tuple[hir.Tensor, ...], right: tuple[hir.Tensor, ...], known: Collection[str]
) -> bool:
    """Whether the first tensor on the left has all its parts in the first on the right, and so on."""
    if len(left) != len(right):
        return False
    used = {
        name
        for tensor in (*left, *right)
        for axis in tensor.axes
        for name in axis_indices(axis)
    }
    pairs = matched(
        leaves(tuple(t.axes for t in left)), leaves(tuple(t.axes for t in right))
    )
    return (
        used <= set(known)
        and pairs is not None
        and all(one.term == other.term for one, other in pairs)
    )
