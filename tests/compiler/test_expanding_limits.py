"""What definitions, lists and blocks would write out without end is refused before it is."""

from __future__ import annotations

import pytest

from .test_expanding import HEAD, refused


def nested(opening: str, count: int) -> str:
    return "".join(f"{opening.format(n)} {{\n" for n in range(count))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            nested("for i{} in L", 200) + "x[e] <-> y[e]\n" + "}\n" * 200,
            "M0110]: expected at most 128 levels of nesting, found more",
        ),
        (
            nested("for i{} in L", 20) + "x[e] <-> y[e]\n" + "}\n" * 20,
            "M0128]: expected at most 8 loops in one another, found more",
        ),
        (
            nested("if L > {}", 500) + "x[e] <-> y[e]\n" + "}\n" * 500,
            "M0110]: expected at most 128 levels of nesting, found more",
        ),
        (
            f"x[e] <-> y[e] if {'(' * 1000}L{')' * 1000} > 1\n",
            "M0110]: expected at most 128 levels of nesting, found more",
        ),
        (
            f"x[{'(' * 1000}e L{')' * 1000}] <-> y[(e L)]\n",
            "M0110]: expected at most 128 levels of nesting, found more",
        ),
        (
            f"x.{{{'(' * 1000}L{')' * 1000}}}[e] <-> y.{{L}}[e]\n",
            "M0110]: expected at most 128 levels of nesting, found more",
        ),
    ],
    ids=["loops", "few loops", "choices", "parentheses", "axes", "holes"],
)
def test_what_is_nested_too_deeply_is_refused(body: str, message: str) -> None:
    assert refused(f"{HEAD}tensors {{\n{body}}}\n") == f"error[{message}"


DOUBLING = "".join(
    f"def f{n + 1}(a) {{\n    use f{n}(a.{'x' * 2000})\n    use f{n}(a.{'y' * 2000})\n}}\n"
    for n in range(40)
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "names, axes and statements when all is written out"),
        ("    a.weight[e] <-> a.scale[e]\n", "characters when all is written out"),
    ],
)
def test_definitions_that_double_are_stopped(body: str, message: str) -> None:
    """2**40 statements, or few that are very long."""
    last = f"def f0(a) {{\n    a[e] <-> a[e]\n{body}}}\n"
    short = DOUBLING.replace("x" * 2000, "x").replace("y" * 2000, "y")
    defs = DOUBLING if body else short
    text = refused(f"{HEAD}{last}{defs}tensors {{\n    use f40(x)\n}}\n")
    assert text.startswith("error[M0127]: expected at most ")
    assert text.endswith(f"{message}, found more")


def test_lists_that_double_are_stopped() -> None:
    many = "{a,b}." * 40
    assert refused(f"{HEAD}tensors {{\n{many}x[e] <-> {many}y[e]\n}}\n") == (
        "error[M0127]: expected at most 4000 names, axes and statements when all is written out, found more"
    )
