"""Maps that are short to describe and long, deep or without end to compile; and words that Python uses."""

from __future__ import annotations

from collections.abc import Iterator
from keyword import iskeyword

from mapc.compiler.taken import PARAMETERS

MAP = "language 1\nmap m: a <-> b\n"
MESH = 'layout b {\n    mesh tp, ep\n    files "{tp}_{ep}"\n}\n'
WORDS = [
    "class",
    "import",
    "lambda",
    "None",
    "True",
    "False",
    "print",
    "self",
    "config",
    "mesh",
    "rank",
    "np",
    "torch",
    "Path",
    "dataclass",
    "int",
    "range",
    "len",
    "Config",
    "Mesh",
    "Rank",
    "recipe",
    "Group",
    "__init__",
    "__class__",
    "__import__",
    "__dict__",
    "_x",
    "match",
    "case",
    "type",
    "exec",
    "eval",
    "open",
    "plan",
    "left",
    "right",
    "statements",
    "first",
    "last",
    "recipes",
    "shapes",
    "math",
    "os",
    "sys",
    "field",
    "property",
    "extra",
    "str",
    "list",
    "tuple",
    "own",
    "own_1",
    "each_x",
    "x_of_y",
    "json",
    "Any",
    "Iterator",
    "from_dict",
    "to_dict",
]


def around(body: str, config: str = "    e: e <-> e\n", top: str = "") -> str:
    return f"{MAP}{top}config {{\n{config}}}\ntensors {{\n{body}\n}}\n"


def bombs() -> Iterator[tuple[str, str]]:
    """Each by its name."""
    yield from _nested()
    yield from _long()
    yield from _multiplied()
    yield from _computed()
    yield from _words()


def _nested() -> Iterator[tuple[str, str]]:
    yield "deep_parentheses", MAP + "let x = " + "(" * 150_000
    yield "deep_closed", MAP + "let x = " + "(" * 70_000 + "1" + ")" * 70_000 + "\n"
    yield "deep_megabyte", MAP + "let x = " + "(" * 1_000_000
    yield "deep_axes", around("    x[" + "(" * 150_000)
    yield "deep_blocks", MAP + "tensors {\n" + "if e {\n" * 20_000
    yield "deep_loops", around(
        "".join(f"for i{n} in e {{\n" for n in range(40)) + "x[e] <-> y[e]" + "\n}" * 40
    )
    yield "deep_choices", around("if e > 1 {\n" * 60 + "x[e] <-> y[e]" + "\n}" * 60)
    yield "deep_not", MAP + "let x = " + "not " * 40_000 + "e\n"
    yield "deep_minus", MAP + "let x = " + "-" * 150_000 + "1\n"
    yield "deep_splits", around("    x[e" + "@tp" * 50_000 + "] <-> y[e]")
    yield "deep_else", around(
        "    if e == 1 {\n        x[e] <-> y[e]\n    }"
        + "".join(f" else if e == {n} {{\n x[e] <-> y[e]\n }}" for n in range(2, 900))
    )
    yield "deep_sum", MAP + "let x = " + " + ".join("1" for _ in range(30_000)) + "\n"


def _long() -> Iterator[tuple[str, str]]:
    yield "long_line", around("    x[e] <-> " + "y" * 150_000 + "[e]")
    yield "long_name", around("    x" + ".y" * 60_000 + "[e] <-> y[e]")
    yield "long_comment", around("    x[e] <-> y[e] # " + "c" * 150_000)
    yield "long_title", "# " + "w " * 70_000 + "\n" + around("    x[e] <-> y[e]")
    yield "long_string", around(
        "    x[e] <-> y[e]", top='require 1 > 0, "' + "s" * 150_000 + '"\n'
    )
    yield "long_number", MAP + "let x = " + "9" * 150_000 + "\n"
    yield "long_escapes", around('    "' + "\\\\" * 70_000 + '"[e] <-> y[e]')
    yield "long_blank", MAP + "\n" * 150_000 + "let x = 1\n"
    yield "long_comments", MAP + "#\n" * 90_000 + ","
    yield "long_words", MAP + "a " * 90_000
    yield "long_stars", around("    " + "**." * 40_000 + "a <-> b")
    yield "long_hole", around("    a{" + "i" * 150_000)
    statements = (f"    x{n}[e] <-> y{n}[e]" for n in range(100_000))
    yield "statements_100_000", around("\n".join(statements))
    statements = (f"    x{n}[e] <-> y{n}[e]" for n in range(5_000))
    yield "statements_5_000", around("\n".join(statements))
    statements = (f"    x{n}[e] <-> y{n}[e]" for n in range(250))
    yield "statements_250", around("\n".join(statements))
    yield "lets", around(
        "x[e] <-> y[e]", top="".join(f"let a{n} = {n}\n" for n in range(9_000))
    )
    yield "keys", around(
        "x[e] <-> y[e]", "".join(f"k{n} <-> k{n}\n" for n in range(9_000))
    )
    yield "options", around(
        "x[e] <-> y[e]", top="".join(f"option o{n} = 1 as a.k{n}\n" for n in range(900))
    )
    yield "flags", around(
        "x[e] <-> y[e]",
        "    e: e <-> e\n"
        + "".join(f"k{n}: k{n} ?? false <-> k{n}\n" for n in range(300)),
    )
    yield "holes", around("    x" + ".{i}" * 900 + "[e] <-> y[e]")
    yield "drops", around(
        "x[e] <-> y[e]\n" + "".join(f"drop left z{n}\n" for n in range(900))
    )
    yield "ties", around(
        "    x[e]" + "".join(f" = t{n}" for n in range(500)) + " <-> y[e]"
    )
    yield "ones", around("    x[" + "1 " * 1_500 + "e] <-> y[e]")


def _multiplied() -> Iterator[tuple[str, str]]:
    ten = "{a,b,c,d,e,f,g,h,i,j}"
    yield "lists_of_lists", around(f"    x{'.' + ten * 8}[e] <-> y{'.' + ten * 8}[e]")
    yield "lists_in_prefixes", around(
        f"for i in e: x.{{i}}{ten * 8} <-> y.{{i}}{ten * 8} {{\n w[e] <-> w[e]\n}}"
    )
    two = "{a | b}"
    yield "choices_of_choices", around(f"    x{('.' + two) * 30}[e] <-> y[e]")
    yield "choices_in_prefixes", around(
        "".join(
            f"for i{n} in e: x.{{i{n}}}{two * 6} <-> y.{{i{n}}} {{\n" for n in range(8)
        )
        + "drop left w"
        + "\n}" * 8
    )
    yield "sums_of_sums", around("    x[" + "(e + e) " * 60 + "] <-> y[e]")
    yield "sums_inside", around("    x[" + "(e + " * 50 + "e" + ")" * 50 + "] <-> y[e]")
    yield "sum_of_many", around("    x[(" + "e + " * 9_000 + "e)] <-> y[e]")
    two = " ".join(f"(a{n} + b{n})" for n in range(8))
    sizes = "".join(
        f"    a{n}: a{n} <-> a{n}\n    b{n}: b{n} <-> b{n}\n" for n in range(8)
    )
    yield "parts_256", around(f"    x[{two}] <-> y[{two}]", sizes)
    uses = "".join(
        f"def f{n}(a) {{\n" + f"    use f{n - 1}(a)\n" * 10 + "}\n"
        for n in range(1, 30)
    )
    yield "definitions", (
        f"{MAP}{uses}def f0(a) {{\n    a[e] <-> a[e]\n}}\ntensors {{\n    use f29(x)\n}}\n"
    )
    names = [f"d{n}" for n in range(30)]
    files = "_".join(f"{{{name}}}" for name in names)
    mesh = f'layout b {{\n    mesh {", ".join(names)}\n    files "{files}"\n}}\n'
    yield "dimensions", around("    x[e] <-> y[e]", top=mesh)
    sizes = "".join(f"    b{n}: b{n} <-> b{n}\n" for n in range(60))
    product = " ".join(f"b{n}" for n in range(60))
    yield "sizes", around(f"    x[({product})] <-> y[({product})@tp]", sizes, MESH)


def _computed() -> Iterator[tuple[str, str]]:
    loop = "    for i in {}: x.{{i}} <-> y.{{i}} {{\n        w[e] <-> w[e]\n    }}"
    yield "loop_without_end", around(loop.format("1000000000000"))
    yield "loop_filtered", around(loop.format("1000000000000 where i == 5"))
    inner = loop.format("90000").replace(" i ", " j ").replace("w[e] <-> w[e]", "{}")
    yield "loop_in_loop", around(inner.replace("{}", loop.format("90000"), 1))
    yield "size_large", around("    x[k] <-> y[k]", top="let k = 9000000000000000\n")
    yield "list_repeated", around(loop.format("k"), top="let k = [0] * 9000000000\n")
    squares = "".join(f"let a{n} = a{n - 1} * a{n - 1}\n" for n in range(1, 90))
    yield "squares", around("x[e] <-> y[e] if a89 > 2", top=f"let a0 = 3\n{squares}")
    doubles = "".join(f"let a{n} = a{n - 1} + a{n - 1}\n" for n in range(1, 90))
    yield "doubled_lists", around(
        "x[e] <-> y[e] if (2 in a89)", top=f"let a0 = [1]\n{doubles}"
    )
    yield "text_repeated", around(
        "x[e] <-> y[e] if e == 1", top='let a = "b" * 9000000000\n'
    )
    yield "text_formatted", around("x[e] <-> y[e]", top='let a = "%09999999999d" % 3\n')
    yield "number_float", around("x[e] <-> y[e]", top="let a = 1e99999999\n")
    width = MESH.replace("{tp}", "{tp:999999999}")
    yield "width", around("    x[e] <-> y[e@tp]", top=width)
    stages = 'layout b {\n    mesh pp\n    stages pp over L\n    files "{pp}"\n}\nlet L = 9000000000\n'
    staged = "    for i in L: x.{i} <-> y.{i@pp} {\n        w[e] <-> w[e]\n    }"
    yield "stages_of_many", around(staged, top=stages)


def _words() -> Iterator[tuple[str, str]]:
    """Words that mean something in Python or in a converter, as names of all kinds."""
    yield "words_as_sizes", around(
        "".join(f"    x{n}[{word}] <-> y{n}[{word}]\n" for n, word in enumerate(WORDS)),
        "".join(f"    {word}: {word} <-> {word}\n" for word in WORDS),
    )
    yield "words_measured", around(
        "".join(f"    x{n}[{word}] <-> y{n}[{word}]\n" for n, word in enumerate(WORDS))
    )
    yield "words_as_keys", around(
        "    x[e] <-> y[e]",
        "    e: e <-> e\n" + "".join(f"    {word} <-> {word}\n" for word in WORDS),
    )
    yield "words_as_lets", around(
        "".join(f"    x{n}[{word}] <-> y{n}[{word}]\n" for n, word in enumerate(WORDS)),
        top="".join(f"let {word} = e * {n + 2}\n" for n, word in enumerate(WORDS)),
    )
    taken = PARAMETERS.split()
    plain = [word for word in WORDS if not iskeyword(word) and word not in taken]
    yield "words_as_options", around(
        "".join(
            f"    x{n}[e] <-> y{n}[e] if {word} == 1\n" for n, word in enumerate(plain)
        ),
        top="".join(f"option {word} = 1 as b.{word}\n" for word in plain),
    )
    yield "words_as_indices", around(
        "".join(
            f"    for {word} in e: x{n}.{{{word}}} <-> y{n}.{{{word}}} {{\n        w[e] <-> w[e]\n    }}\n"
            for n, word in enumerate(WORDS)
        )
    )
    yield "words_as_variants", around(
        "".join(
            f"    variant {word}: {word} {{\n x{n}[e] <-> y{n}[e]\n }} other {{\n z{n}[e] <-> y{n}[e]\n }}\n"
            for n, word in enumerate(plain[:25])
        )
    )
    yield "words_as_names", around(
        "".join(f"    {word}.{n}[e] <-> _{word}[e]\n" for n, word in enumerate(WORDS))
    )
    yield "words_as_layouts", "language 1\nmap class: import <-> __init__\ntensors {\n    x[e] <-> y[e]\n}\n"
