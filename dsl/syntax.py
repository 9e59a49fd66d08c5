"""The syntax tree: what the parser returns, the formatter prints and `resolve` reads.

First form of a map in the pipeline (text -parse-> syntax -resolve-> hir). It holds what was written, in the
order of writing, and nothing that was inferred. Spans do not count in comparisons, so that `parse(print(x)) == x`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from .source import Source, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A piece of a map, and where it stands."""

    span: Span = field(compare=False, repr=False)


NodeT = TypeVar("NodeT", bound=Node)


# ---- expressions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Path(Node):
    """`n`, `text_config.hidden_size`: a bound name or a config key; which of the two, `resolve` knows."""

    text: str


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A literal number; `text` keeps the spelling (`1e-05`)."""

    text: str

    @property
    def value(self) -> int | float:
        return int(self.text) if self.text.isdigit() else float(self.text)


@dataclass(frozen=True, slots=True)
class String(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Boolean(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class Nothing(Node):
    """The literal `none`."""


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Item(Node):
    """`value[index]`."""

    value: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-x` and `not x`."""

    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`+ - * / %`, the comparisons, `and`, `or`, `in` and `??`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`then if test else other`."""

    then: Expr
    test: Expr
    other: Expr


Expr: TypeAlias = (
    Path
    | Number
    | String
    | Boolean
    | Nothing
    | ListOf
    | Call
    | Item
    | Unary
    | Binary
    | Conditional
)


@dataclass(frozen=True, slots=True)
class Condition(Node):
    """`if test` or `unless test` behind a statement, a tie, `bias` or `lora`."""

    test: Expr
    unless: bool


# ---- names ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A literal piece of a name, dots included."""

    text: str


@dataclass(frozen=True, slots=True)
class Hole(Node):
    """`{i}`, `{i@pp}`, `{i + L}`, `{tp:02}`: an expression of indices, printed into the name."""

    value: Expr
    mesh: str | None
    width: str | None


@dataclass(frozen=True, slots=True)
class Several(Node):
    """`{q,k,v}`: several names in this order."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alternates(Node):
    """`{weight | gamma}`: one name spelled in several ways."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deep(Node):
    """`**`: whole components of a name."""


NamePart: TypeAlias = Text | Hole | Several | Alternates | Deep


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A tensor name, a prefix or a file pattern. `quoted` where it was written between quotes.

    `component` is `text` in `text:model.norm.weight`: the component of a packed checkpoint it belongs to.
    """

    parts: tuple[NamePart, ...]
    quoted: bool = False
    component: str | None = None


# ---- axes -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Index(Node):
    name: str


@dataclass(frozen=True, slots=True)
class One(Node):
    """The literal `1`: one position, no index."""


@dataclass(frozen=True, slots=True)
class Product(Node):
    """`(g h d)`: two factors or more, slowest first."""

    factors: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Part(Node):
    """One alternative of a sum, with its label if it has one."""

    label: str | None
    value: Axis


@dataclass(frozen=True, slots=True)
class Sum(Node):
    """`(h + 1 + 1)`: two parts or more, one after the other. A lone part with a label is a sum of one."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Padded(Node):
    """`v^vp`: an axis of size `vp` whose first `v` positions are data."""

    value: Axis
    size: str


@dataclass(frozen=True, slots=True)
class Split(Node):
    """`x@tp`: a rank holds one piece; `x@tp?` in ceil pieces."""

    value: Axis
    mesh: str
    ceil: bool


Axis: TypeAlias = Index | One | Product | Sum | Padded | Split


@dataclass(frozen=True, slots=True)
class Axes(Node):
    """What stands between the brackets of a term; `any` for `[..]`."""

    items: tuple[Axis, ...]
    any: bool = False


# ---- terms ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class At(Node):
    """`at pp=first`; place is `first`, `last` or `first,last`."""

    mesh: str
    place: str


@dataclass(frozen=True, slots=True)
class Tie(Node):
    """`= lm_head.weight at pp=last if tied`: another name of the same tensor."""

    name: Name
    at: At | None
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """`block=128` in a codec."""

    key: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Apply(Node):
    """`fp8_block(W, W_scale_inv)`: one logical tensor made of several stored ones."""

    function: str
    arguments: tuple[Term | Setting, ...]


@dataclass(frozen=True, slots=True)
class Default(Node):
    """`?? zeros`, `?? normal(std, seed)`."""

    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """`+ 1`, `* s`, in the order of writing."""

    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Term(Node):
    """One tensor of a side, with all that stands behind its name. No axes: the whole tensor."""

    tensor: Name | Apply
    axes: Axes | None = None
    optional: bool = False
    default: Default | None = None
    dtype: str | None = None
    arithmetic: tuple[Arithmetic, ...] = ()
    at: At | None = None
    ties: tuple[Tie, ...] = ()

    @property
    def component(self) -> str | None:
        return self.tensor.component if isinstance(self.tensor, Name) else None


# ---- statements -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Derived(Node):
    """`bias` or `lora` behind `with`, with its own condition."""

    kind: str
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class Equation(Node):
    """`left <-> right`, then a condition, `in`, `with`, `lossy`, `decode`."""

    left: tuple[Term, ...]
    right: tuple[Term, ...]
    condition: Condition | None = None
    input_axis: str | None = None
    derived: tuple[Derived, ...] = ()
    lossy: bool = False
    decode: bool = False


@dataclass(frozen=True, slots=True)
class Let(Node):
    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Replica(Node):
    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Require(Node):
    test: Expr
    message: str


@dataclass(frozen=True, slots=True)
class Include(Node):
    path: str


@dataclass(frozen=True, slots=True)
class Block(Node):
    """The statements between braces."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class For(Node):
    """`for i in L where t: A <-> B { .. } else { .. }`; no body where it only states two names.

    `places`: what stands behind each of the names, and holds for those in the blocks. `axes`: those that go before the
    axes of every tensor in the blocks.
    """

    index: str
    range: Expr
    filter: Expr | None
    filter_word: str | None
    names: tuple[Name, Name] | None
    body: Block | None
    otherwise: Block | If | None
    places: tuple[At | None, At | None] = (None, None)
    axes: tuple[Axes | None, Axes | None] = (None, None)


@dataclass(frozen=True, slots=True)
class If(Node):
    test: Expr
    body: Block
    otherwise: Block | If | None


@dataclass(frozen=True, slots=True)
class Alternative(Node):
    name: str
    body: Block


@dataclass(frozen=True, slots=True)
class Variant(Node):
    """One layout stored in several ways."""

    name: str
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Def(Node):
    name: str
    parameters: tuple[str, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Use(Node):
    name: str
    arguments: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Make(Node):
    side: str
    name: Name
    axes: Axes
    value: Expr
    dtype: str | None
    at: At | None
    condition: Condition | None
    lossy: bool


@dataclass(frozen=True, slots=True)
class Drop(Node):
    """`drop left NAME`: what is left behind on purpose. side is `left` or `right`."""

    side: str
    name: Name
    condition: Condition | None


Statement: TypeAlias = (
    Equation
    | For
    | If
    | Variant
    | Def
    | Use
    | Make
    | Drop
    | Let
    | Replica
    | Include
    | Require
)


# ---- layouts and config ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mesh(Node):
    """`mesh tp, pp` or, with two countings of the same ranks, `mesh pp, tp | etp, ep`."""

    countings: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class WholeDims(Node):
    """`whole tp, pp`: dimensions that this layout does not have; what is split over them elsewhere is whole in it."""

    dims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stages(Node):
    """How a mesh dimension owns the layers of a range."""

    mesh: str
    over: Expr
    by: Expr | None = None
    first: Expr | None = None
    last: Expr | None = None
    virtual: Expr | None = None
    named: str | None = None
    embedding: Expr | None = None
    loss: Expr | None = None


@dataclass(frozen=True, slots=True)
class Files(Node):
    pattern: Name
    format: str | None


@dataclass(frozen=True, slots=True)
class Codec(Node):
    name: str
    arguments: tuple[Name | Setting, ...]
    where: Expr | None


@dataclass(frozen=True, slots=True)
class Prefixes(Node):
    """`prefix "" | "model."`: all are read, the first is written."""

    items: tuple[str, ...]


Rule: TypeAlias = Mesh | WholeDims | Stages | Files | Codec | Prefixes


@dataclass(frozen=True, slots=True)
class Layout(Node):
    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """`normalization = "RMSNorm"`: a key that always has this value."""

    key: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Translated(Node):
    """`a ?? b { "silu" <-> "swiglu" } ?? "silu"`: keys, a value table (left, right), a default."""

    keys: Expr
    table: tuple[tuple[Expr, Expr], ...]
    default: Expr | None


ConfigValue: TypeAlias = Constant | Translated | Expr


@dataclass(frozen=True, slots=True)
class Entry(Node):
    """`binder: left <-> right`; a side that is not there is None."""

    binder: str | None
    left: ConfigValue | None
    right: ConfigValue | None


@dataclass(frozen=True, slots=True)
class Config(Node):
    entries: tuple[Entry, ...]


# ---- the file -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Language(Node):
    version: str


@dataclass(frozen=True, slots=True)
class Map(Node):
    """`map NAME: left <-> right`."""

    name: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Link(Node):
    name: str
    inverse: bool


@dataclass(frozen=True, slots=True)
class Composed(Node):
    name: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class ComponentPlace(Node):
    """`at hf "text_model/"` (word `at`) or `cs prefix "text_model."` (word `prefix`)."""

    layout: str
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Component(Node):
    """`component text: NAME at hf ".."`; copy_of where it is a copy of another component."""

    name: str
    map: str | None
    copy_of: str | None
    places: tuple[ComponentPlace, ...]


@dataclass(frozen=True, slots=True)
class Option(Node):
    """`option vocab_divisor = 128 as mcore.make_vocab_size_divisible_by`; key is without the layout."""

    name: str
    default: Expr
    layout: str
    key: str


@dataclass(frozen=True, slots=True)
class Tensors(Node):
    block: Block


@dataclass(frozen=True, slots=True)
class Packed(Node):
    """`map NAME: left <-> right { component .. }`: several checkpoints packed into one."""

    name: str
    left: str
    right: str
    items: tuple[PackedItem, ...]


PackedItem: TypeAlias = Component | Let | Replica | Include | Require | Config | Tensors

TopLevel: TypeAlias = (
    Language
    | Map
    | Composed
    | Packed
    | Option
    | Let
    | Replica
    | Include
    | Require
    | Layout
    | Config
    | Tensors
    | Def
)


@dataclass(frozen=True, slots=True)
class Comment(Node):
    """`# text`; own_line where nothing stands before it on its line."""

    text: str
    own_line: bool = field(compare=False)


@dataclass(frozen=True, slots=True)
class File(Node):
    """A file; once it is expanded, `included` are the texts of other files that stand in it, in order.

    `borrowed`: one of them was found in a folder that the caller gave. `uses`: the places of a definition and of a
    `use` of it, for each `use`.
    """

    items: tuple[TopLevel, ...]
    comments: tuple[Comment, ...] = ()
    included: tuple[Source, ...] = field(default=(), compare=False, repr=False)
    borrowed: bool = field(default=False, compare=False, repr=False)
    uses: tuple[tuple[Span, Span], ...] = field(default=(), compare=False, repr=False)


def walk(node: Node) -> Iterator[Node]:
    """The node and every node below it, in the order of the text."""
    left: list[object] = [node]
    while left:
        one = left.pop()
        if isinstance(one, Node):
            yield one
            names = reversed(one.__dataclass_fields__)
            left.extend(getattr(one, name) for name in names if name != "span")
        elif isinstance(one, tuple):
            left.extend(reversed(one))
