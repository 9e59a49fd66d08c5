"""Whatever a map calls its things: the converter is clean Python, says the same, and holds the map's text in literals."""

from __future__ import annotations

import ast
import keyword
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mapc.compiler import codegen, compile_text
from mapc.compiler.driver import plan_text
from mapc.dsl.reading import HIDDEN

from .generated import of_text, text_of

# Words that Python or the generated code has a use for.
WORDS = tuple(
    re.findall(
        r"\w+",
        """
    config mesh recipe recipes own own_2 each_x tp_ range shapes layers stage number first
    last left_ cls self where_ places tied stages exactly roundup Recipe Group Drop Place
    Recipes Config Mesh Rank Any extra field property int str list math len min max prod torch
    name options converter _ __ mesh_ mesh__ own_ match type case view copy statements one
    tuple json os
        """,
    )
)
# Those that begin no line of a map, where they go on with the line before.
KEYWORDS = tuple(
    sorted(
        {*keyword.kwlist}
        - {"if", "else", "in", "and", "or", "not", "for", "as", "with"}
    )
)
# Text that would leave a string, a comment or a template if it were pasted.
HOSTILE = (
    '"""',
    "'''",
    "\\",
    "\\n",
    "\n",
    "\r",
    "\t",
    '"); import os; os.abort() #',
    "'); import os; os.abort() #",
    '\n"""\nimport os; os.abort()\n"""',
    "{",
    "}",
    "{x}",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "@IMPORTS@",
    "# ---- runtime: x",
    "\u00e9\u4e2d\U0001f600",
    "%s $x",
    "a#b",
    "x[e] <-> y[e]",
    "\\N{BULLET}",
    "\\u0041",
)


GROUPS = tuple((*WORDS, *KEYWORDS)[start::4] for start in range(4))

NAMED = """
    W.weight[W e]         <-> W.weight[e W@tp]
    a.W[W]                <-> b.W[W^padW]
    c.W[vW]               <-> d.W[vW@tp]
    g.W.weight[(W + W) e] <-> h.W.weight[(W@tp + W@tp) e] with bias
    for i in e: p.W.{i} <-> q.W.{i} {
        "W"[W] <-> "W"[1 W]
    }
    for x in W {
        r.{x}.W[e] <-> s.W[x@tp e]
    }"""

LOOPED = """
    for W in L: a.W.{W} <-> b.W.{W@pp} {
        c[e] <-> d[e]
        let lW = e + W
        f[lW e] <-> g[e lW]
        for x in e: y.{x} <-> z.{x} {
            "W"[e] <-> "W"[e zW]
        }
    }
    for yW in e {
        s.W.{yW}[e] <-> t.W[e yW] at pp=first
    }"""


def each(words: tuple[str, ...], text: str) -> str:
    """The text once for every word, which takes the place of its Ws."""
    return "\n".join(text.replace("W", word) for word in words)


def named(words: tuple[str, ...]) -> str:
    """A map in which words name indices, padded sizes, loops, lets, tensors on both sides and components."""
    return f"""language 1
map m: hf <-> mcore
layout mcore {{
    mesh  tp
    files "{{tp}}"
}}
config {{
    e: e <-> e
{each(words, "    W: sizes.W <-> sizes.W")}
}}
{each(words, "let padW = W + tp")}
{each(words, "let vW = 2 * W * tp")}
tensors {{{each(words, NAMED)}
}}
"""


def looped(words: tuple[str, ...]) -> str:
    """Words that name loops' indices, lets in blocks and replicas."""
    return f"""language 1
map m: hf <-> mcore
layout mcore {{
    mesh   tp, pp
    stages pp over L
    files  "{{tp}}_{{pp}}"
}}
config {{
    L: L <-> L
    e: e <-> e
}}
{each(words, "replica zW = 2")}
tensors {{{each(words, LOOPED)}
}}
"""


def layouts(left: str, right: str, dim: str) -> str:
    """Layouts and a mesh dimension of these names."""
    return f"""language 1
map m: {left} <-> {right}
layout {right} {{
    mesh  {dim}
    files "{{{dim}}}"
}}
config {{
    e: e <-> e
}}
let pe = roundup(e, {dim})
tensors {{
    x[e] <-> y[e^pe@{dim}]
    for i in e: a.{{i}} <-> b.{{i}} {{
        c[e] <-> d[1 e]
    }}
}}
"""


@pytest.mark.parametrize("words", GROUPS, ids=range(4))
def test_words_of_python_as_names(words: tuple[str, ...]) -> None:
    m, given = of_text(named(words)), {"e": 3, "sizes": dict.fromkeys(words, 4)}
    config = m.Config.from_hf(given)
    assert config.to_mcore() == given
    assert m.Config.from_mcore(given) == config
    assert len(m.expected_hf(config)) == len(words) * 12
    for tp in (1, 2):
        round_trip(m, config, m.Mesh(tp))


@pytest.mark.parametrize("words", GROUPS, ids=range(4))
def test_words_of_python_as_loops(words: tuple[str, ...]) -> None:
    m = of_text(looped(words))
    config = m.Config.from_hf({"L": 4, "e": 3})
    assert len(m.expected_hf(config)) == len(words) * (4 * 5 + 3)
    round_trip(m, config, m.Mesh(pp=2))


@pytest.mark.parametrize(
    "word", (*WORDS[::4], *KEYWORDS[::6], "stages", "exactly", "i")
)
def test_words_of_python_as_layouts(word: str) -> None:
    for left, right in ((word, "hf"), ("hf", word)):
        m = of_text(layouts(left, right, "tp"))
        config = getattr(m.Config, f"from_{left}")({"e": 3})
        assert getattr(config, f"to_{right}")() == {"e": 3}
        source = {"x": torch.arange(3)} | {
            f"a.{i}.c": torch.arange(3) for i in range(3)
        }
        found = dict(getattr(m, f"to_{right}")(source, config, m.Mesh(2), m.Rank(1)))
        assert found["y"].tolist() == [2, 0]


DIMS = (
    "recipe",
    "config",
    "mesh",
    "own",
    "range",
    "formula",
    "position",
    "self",
    "name",
    "e2",
    "each_x",
    "rank",
)


@pytest.mark.parametrize("dim", DIMS)
def test_words_of_python_as_mesh_dimensions(dim: str) -> None:
    m = of_text(layouts("a", "b", dim))
    source = {"x": torch.arange(3)} | {f"a.{i}.c": torch.arange(3) for i in range(3)}
    found = dict(m.to_b(source, m.Config(e=3), m.Mesh(**{dim: 2}), m.Rank(**{dim: 1})))
    assert found["y"].tolist() == [2, 0]


def round_trip(m: object, config: object, mesh: object) -> None:
    """Numbered tensors there and back."""
    shapes = m.expected_hf(config, mesh)  # type: ignore[attr-defined]
    source, start = {}, 1
    for name, (shape, _) in shapes.items():
        count = torch.Size(shape).numel()
        source[name] = torch.arange(start, start + count).reshape(shape)
        start += count
    ranks = {rank: dict(m.to_mcore(source, config, mesh, rank)) for rank in mesh.ranks()}  # type: ignore[attr-defined]
    back = dict(m.to_hf(ranks, config, mesh))  # type: ignore[attr-defined]
    assert list(back) == list(source)
    for name, tensor in source.items():
        assert torch.equal(back[name], tensor), name


# ---- text between quotes ------------------------------------------------------------------------


def written(text: str) -> str:
    """The text as a map writes it between quotes."""
    escapes = {
        "\\": "\\\\",
        '"': '\\"',
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "{": "\\{",
        "}": "\\}",
    }
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def worded(text: str) -> str:
    """The text as a string of an expression."""
    return written(text).replace("\\{", "{").replace("\\}", "}")


def quoting(text: str) -> str:
    """A map with a text wherever one may stand."""
    name, string = written(f"t{text}"), worded(text)
    looped = written(f"u{text}.")[:-1]
    file = written(re.sub(r"\.\.|[\\:\n\r\t]", "", f"f{text}."))[:-1]
    comment = " ".join(text.split())
    return f"""# {comment}
language 1
map m: a <-> b
layout b {{
    mesh  tp
    files {file}{{tp}}"
}}
config {{
    e: e <-> e
    act: act ?? {string} <-> act
    kind {{ "x" <-> {string} }} <-> kind
    {string if text else '"k"'} = {string} <->
}}
option word = {string} as b.word
let other = {string}
require e > 0, {string}
tensors {{
    {name}[e]      <-> "x"[e] if act == {string} and (other in [{string}])
    "y"[e f]       <-> {name}[f e]
    for i in e: {looped}{{i}}" <-> {looped}{{i}}" {{
        {name}[e]  <-> {name}[e]
        "z"[e 1]   <-> w.{{i + (1 if other == {string.replace('{', '').replace('}', '')} else 2)}}[1 e]
        drop left {name}
    }}
}}
let f = 2
"""


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_literal(text: str) -> None:
    """The module of a map with such a text is that of a map with a plain one, but for its literals."""
    hostile, plain = (text_of(quoting(t)) for t in (text, "plain"))
    assert hostile.isascii()
    assert skeleton(hostile) == skeleton(plain)


def skeleton(module: str) -> str:
    """The syntax of the part before the runtime: names and literals are blanked."""
    tree = ast.parse(module)
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                node.id = "n"
            case ast.FunctionDef() | ast.ClassDef():
                node.name = "n"
            case ast.Constant(value=str()):
                node.value = "s"
            case ast.JoinedStr(values=values):
                node.values = [v for v in values if not isinstance(v, ast.Constant)]
    return ast.dump(tree)


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=HIDDEN), min_size=1, max_size=20))
def test_names_are_what_the_map_says(text: str) -> None:
    if text == "**" or "**" in text.split("."):
        return  # stands for whole components
    map_ = (
        "language 1\nmap m: a <-> b\nconfig {\n    e: e <-> e\n}\ntensors {\n"
        f"    x[e] <-> {written(text)}[1 e]\n"
        f"    for i in e: {written(text + 'p')} <-> {written('q' + text)} {{\n"
        f'        y.{{i}}[e] <-> {written(text)[:-1]}{{i}}"[1 e]\n    }}\n}}\n'
    )
    m = of_text(map_)
    config = m.Config(e=1)
    assert list(m.expected_b(config)) == [text, f"q{text}.{text}0"]
    assert list(m.expected_a(config)) == ["x", f"{text}p.y.0"]


# ---- the text as a whole ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_same_map_gives_the_same_bytes(seed: str) -> None:
    """In another process, with sets in another order."""
    text = named(GROUPS[0])
    code = (
        "import sys; from mapc.compiler import codegen; from mapc.compiler.driver import plan_text; "
        "sys.stdout.write(codegen.core(plan_text(sys.stdin.read()), 'mapc 0'))"
    )
    command, environment = [sys.executable, "-c", code], {"PYTHONHASHSEED": seed}
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == text_of(text)


def test_the_tools_are_content(tmp_path: Path) -> None:
    """black and ruff, at the settings that a converter promises, over hostile maps."""
    texts = [quoting(text) for text in HOSTILE[:: len(HOSTILE) // 3]]
    texts += [named(GROUPS[0]), looped(GROUPS[1]), layouts("def", "range", "recipe")]
    for number, text in enumerate(texts):
        module = codegen.module(plan_text(text), "mapc 0", "core")
        (tmp_path / f"m{number}.py").write_text(module, "ascii")
    for command in (
        ["black", "--check", "--quiet"],
        ["ruff", "check", "--isolated", "--quiet"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_file_name_is_text(tmp_path: Path) -> None:
    """What messages call a map does not leave the comment that it stands in."""
    text = layouts("a", "b", "tp")
    module = compile_text(text, name='x"""\nimport os\n"""\\.map', parts="core").module
    assert skeleton(module) == skeleton(compile_text(text, parts="core").module)
