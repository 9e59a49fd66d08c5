"""Trees that hypothesis makes print to text with the same tree: expressions, axes, names and terms of all shapes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from mapc.dsl import syntax
from mapc.dsl.format_inline import expression, term
from mapc.dsl.formatter import format_file
from mapc.dsl.parser import parse
from mapc.dsl.source import Source, Span

NOWHERE = Span(Source("nowhere.map", ""), 0, 0)
WORDS = st.sampled_from(("e", "g", "layers", "x_1", "Hidden", "_q", "format", "codec"))
PATHS = st.sampled_from(("n", "a.b", "text_config.hidden_size", "rope.0.theta", "i2"))
NUMBERS = st.sampled_from(("0", "1", "128", "1e-05", "0.5", "2.5E+3", "007"))
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))
    | st.sampled_from('\n\t"\\{}#'),
    max_size=6,
)
OPERATORS = st.sampled_from(
    ("??", "or", "and", "in", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%")
)
# The grammar's own bound is 128 levels of rules; these stay below.
SMALL = settings(max_examples=250, deadline=None, derandomize=True)


def made(
    kind: type[syntax.NodeT], *parts: st.SearchStrategy[object]
) -> st.SearchStrategy[syntax.NodeT]:
    return st.builds(kind, *parts, span=st.just(NOWHERE))


def tuples(
    of: st.SearchStrategy[object], least: int, most: int
) -> st.SearchStrategy[object]:
    return st.lists(of, min_size=least, max_size=most).map(tuple)


LEAVES = st.one_of(
    made(syntax.Path, PATHS),
    made(syntax.Number, NUMBERS),
    made(syntax.String, TEXTS),
    made(syntax.Boolean, st.booleans()),
    made(syntax.Nothing),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        made(syntax.Binary, OPERATORS, inner, inner),
        made(syntax.Unary, st.sampled_from(("-", "not")), inner),
        made(syntax.Conditional, inner, inner, inner),
        made(syntax.Item, inner, inner),
        made(syntax.ListOf, tuples(inner, 0, 3)),
        made(syntax.Call, st.sampled_from(("min", "roundup")), tuples(inner, 0, 2)),
    ),
    max_leaves=8,
)
AXES = st.recursive(
    made(syntax.Index, WORDS) | made(syntax.One),
    lambda inner: st.one_of(
        made(syntax.Product, tuples(inner, 2, 3)),
        made(syntax.Sum, tuples(made(syntax.Part, st.none() | WORDS, inner), 2, 3)),
        made(syntax.Padded, made(syntax.Index, WORDS), WORDS),
        made(syntax.Split, made(syntax.Index, WORDS), WORDS, st.booleans()),
    ),
    max_leaves=8,
)
# A quoted name ends at a quote, so its holes have no texts.
HOLES = EXPRESSIONS.filter(
    lambda value: not any(isinstance(n, syntax.String) for n in syntax.walk(value))
)
PARTS = st.one_of(
    made(syntax.Hole, HOLES, st.none() | WORDS, st.none() | st.just("02")),
    made(syntax.Several, tuples(WORDS, 2, 3)),
    made(syntax.Alternates, tuples(WORDS, 2, 3)),
    made(syntax.Text, TEXTS.filter(lambda text: text and "**" not in text)),
)


@SMALL
@given(EXPRESSIONS)
def test_an_expression(value: syntax.Expr) -> None:
    text = f"language 1\nlet x = {expression(value)}\n"
    file = parse(Source("x.map", text))
    let = file.items[1]
    assert isinstance(let, syntax.Let) and let.value == value
    assert parse(Source("x.map", format_file(file))) == file


@SMALL
@given(tuples(AXES, 0, 4), st.booleans())
def test_axes(items: tuple[syntax.Axis, ...], optional: bool) -> None:
    name = syntax.Name((syntax.Text("a.b", span=NOWHERE),), span=NOWHERE)
    axes = syntax.Axes(items, span=NOWHERE)
    same(syntax.Term(name, axes, optional, span=NOWHERE))


@SMALL
@given(st.lists(PARTS, min_size=1, max_size=4))
def test_quoted_names(parts: list[syntax.NamePart]) -> None:
    joined: list[syntax.NamePart] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, syntax.Text) and isinstance(last, syntax.Text):
            continue  # texts side by side are one
        joined.append(part)
    same(syntax.Term(syntax.Name(tuple(joined), True, span=NOWHERE), span=NOWHERE))


def same(value: syntax.Term) -> None:
    """The term printed on a line of its own is read back, and printed again."""
    text = f"language 1\ntensors {{\n    {term(value)} <-> b\n}}\n"
    file = parse(Source("x.map", text))
    tensors = file.items[1]
    assert isinstance(tensors, syntax.Tensors)
    equation = tensors.block.statements[0]
    assert isinstance(equation, syntax.Equation) and equation.left == (value,)
    assert parse(Source("x.map", format_file(file))) == file
