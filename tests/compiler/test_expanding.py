"""What definitions write out: their names apart from those at the `use`, requirements in blocks."""

from __future__ import annotations

import re

import pytest
from mapc.compiler.driver import plan_text
from mapc.compiler.proof import equation
from mapc.dsl.diagnostics import MapError

from .generated import of_text

HEAD = """language 1
map m: a <-> b
config {
    L: L <-> L
    X: X <-> X
    e: e <-> e
    sizes: sizes <-> sizes
}
"""


def refused(text: str) -> str:
    """The first line of the refusal."""
    with pytest.raises(MapError) as error:
        plan_text(text)
    return str(error.value).split("\n")[0]


# ---- requirements in blocks -----------------------------------------------------------------------

REQUIRES = HEAD + """
tensors {
    for i in L: layers.{i} <-> h.{i} {
        require sizes[i] > 0, "a layer is empty"
        for x in X {
            require sizes[i] > x, "expert {x} of {X} is {{empty}}"
            experts.{x}.weight[e] <-> experts.weight[x e]
        }
    }
    if e > 8 {
        require e % 2 == 0, "e={e} is odd"
    }
}
"""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sizes": [2, 2], "e": 7}, None),
        ({"sizes": [2, 0], "e": 7}, "a layer is empty (i=1)"),
        ({"sizes": [2, 1], "e": 7}, "expert 1 of 2 is {empty} (i=1)"),
        ({"sizes": [2, 2], "e": 9}, "e=9 is odd"),
    ],
)
def test_a_requirement_is_checked_where_it_stands(
    config: dict[str, object], message: str | None
) -> None:
    module = of_text(REQUIRES)
    made = module.Config.from_a({"L": 2, "X": 2, **config})
    if message is None:
        assert sorted(module.expected_b(made)) == [
            "h.0.experts.weight",
            "h.1.experts.weight",
        ]
        return
    with pytest.raises(module.ConversionError) as error:
        module.expected_b(made)
    assert str(error.value) == message


# ---- names that a definition binds ----------------------------------------------------------------


def statements(text: str) -> list[str]:
    """The left and the right tensor of each statement, with its axes."""
    proofs = plan_text(text).proven.proofs
    return [equation(proof) for proof in proofs]


def test_axes_of_prefixes() -> None:
    """They go before the axes of every tensor, those of outer loops first; a bias has them, too."""
    short = HEAD + """
tensors {
    for i in L: layers.{i} <-> layers[i] {
        norm.{weight,bias}[e] = spare.{weight,bias} <-> norm.{weight,bias}[e] = again.{weight,bias}
        for x in X: experts.{x} <-> experts[x] {
            gate.weight[e L] <-> gate.weight[(e L)]
            if e > 2 {
                up.weight[e X],
                down.weight[X e] <-> mixed.weight[(e X + X e)] unless L > 3
            } else {
                up.weight[X e] <-> up.weight[X e] with bias
            }
        }
    }
}
"""
    long = HEAD + """
tensors {
    for i in L {
        layers.{i}.norm.{weight,bias}[e] = layers.{i}.spare.{weight,bias}
            <-> layers.norm.{weight,bias}[i e] = layers.again.{weight,bias}
        for x in X {
            layers.{i}.experts.{x}.gate.weight[e L] <-> layers.experts.gate.weight[i x (e L)]
            if e > 2 {
                layers.{i}.experts.{x}.up.weight[e X],
                layers.{i}.experts.{x}.down.weight[X e] <-> layers.experts.mixed.weight[i x (e X + X e)] unless L > 3
            } else {
                layers.{i}.experts.{x}.up.weight[X e] <-> layers.experts.up.weight[i x X e] with bias
            }
        }
    }
}
"""
    assert_alike(short, long)


def test_whole_dimensions() -> None:
    """What is split over them is whole, whatever is said of them."""
    parted = """
tensors {
    for i in L: layers.{i} <-> layers.{i@pp} {
        up.weight[(e + X) L] <-> up.weight[(e@tp + X@tp?) L] = spare.weight at pp=last if L > 2
        drop right **.{i@pp}.state
    }
    for q in X: next.{q} <-> next.{q} at pp=last {
        norm.weight[e] <-> norm.weight[e]
    }
    make right mask[L L] = tril(L) at pp=first
}
"""
    whole = 'layout b {\n    whole tp, pp\n    files "release" format dcp\n}\n'
    plain = re.sub(r"@(tp\??|pp)| at pp=\w+", "", parted)
    assert "@" not in plain and " at " not in plain
    assert_alike(HEAD + whole + parted, HEAD + plain)


def assert_alike(one: str, other: str) -> None:
    """Two maps say the same: their statements, and of a config the names and shapes of both sides."""
    axes = [
        [re.sub(r"[\w.{}@,]+\[", "[", said) for said in statements(text)]
        for text in (one, other)
    ]
    assert axes[0] == axes[1]
    for config in ({"L": 3, "X": 2, "e": 4}, {"L": 4, "X": 3, "e": 2}):
        found = []
        for text in (one, other):
            module = of_text(text)
            made = module.Config.from_a(config | {"sizes": []})
            found.append((module.expected_a(made), module.expected_b(made)))
        assert found[0] == found[1]
        assert len(found[0][0]) > 2


def test_a_let_of_a_definition_is_its_own_at_each_use() -> None:
    text = HEAD + """
let y = 3 * e
def double(a) {
    let z = 2 * e
    a.weight[z e] <-> a.scale[(z e)]
}
def halves(a) {
    let y = e / 2
    a.weight[y] <-> a.scale[y]
}
tensors {
    use double(one)
    use double(two)
    use halves(three)
    four.weight[y] <-> four.scale[y]
}
"""
    assert statements(text) == [
        "one.weight[z e] <-> one.scale[(z e)]",
        "two.weight[z_2 e] <-> two.scale[(z_2 e)]",
        "three.weight[y_2] <-> three.scale[y_2]",
        "four.weight[y] <-> four.scale[y]",
    ]
    module = of_text(text)
    made = module.Config.from_a({"e": 4, "L": 1, "X": 1, "sizes": []})
    assert {name: shape for name, (shape, _) in module.expected_a(made).items()} == {
        "one.weight": (8, 4),
        "two.weight": (8, 4),
        "three.weight": (2,),
        "four.weight": (12,),
    }


def test_a_let_of_a_definition_is_not_seen_at_the_use() -> None:
    text = HEAD + """
def double(a) {
    let z = 2 * e
    a.weight[z] <-> a.scale[z]
}
tensors {
    use double(one)
    if L > z {
        two.weight[e] <-> two.scale[e]
    }
}
"""
    assert refused(text) == "error[M0212]: nothing is called `z`"


def test_a_let_of_a_definition_leaves_the_names_of_the_block_free() -> None:
    text = HEAD + """
def double(a) {
    let z = 2 * e
    let z_2 = z + 1
    a.weight[z z_2] <-> a.scale[z z_2]
}
tensors {
    use double(one)
    for z in X: two.{z} <-> two.{z} {
        weight[e] <-> scale[e]
    }
}
"""
    assert statements(text) == [
        "one.weight[z_3 z_2] <-> one.scale[z_3 z_2]",
        "weight[e] <-> scale[e]",
    ]


def test_a_loop_of_a_definition_is_not_the_loop_around_the_use() -> None:
    text = HEAD + """
def experts(a, b) {
    for x in X: a.{x} <-> b {
        require x < 9, "{x} of {X}"
        weight[e] <-> weight.{x}[e]
    }
}
tensors {
    for x in L: layers.{x} <-> h.{x} {
        use experts(here.{x}, there)
        use experts(both, all)
    }
    use experts(top, top)
}
"""
    plan = plan_text(text)
    loops = [[loop.index for loop in proof.loops] for proof in plan.proven.proofs]
    assert loops == [["x", "x_2"], ["x", "x_2"], ["x"]]
    module = of_text(text)
    made = module.Config.from_a({"e": 4, "L": 2, "X": 1, "sizes": []})
    assert sorted(module.expected_a(made)) == [
        "layers.0.both.0.weight",
        "layers.0.here.0.0.weight",
        "layers.1.both.0.weight",
        "layers.1.here.1.0.weight",
        "top.0.weight",
    ]


def test_a_body_uses_what_holds_where_it_stands() -> None:
    """Its definitions are those around it, its sizes those around the `use`."""
    text = HEAD + """
def inner(a) {
    a.outside[w] <-> a.outside[w]
}
def outer(a) {
    use inner(a)
}
tensors {
    for i in L: layers.{i} <-> layers.{i} {
        let w = 2 * e
        use outer(x)
    }
    if L > 1 {
        let w = 3 * e
        use outer(y)
        use here(z)
        def here(a) {
            use outer(a)
            "a.quoted"[e] <-> "a.quoted"[e]
        }
    }
}
"""
    assert statements(text) == [
        "x.outside[w] <-> x.outside[w]",
        "y.outside[w] <-> y.outside[w]",
        "z.outside[w] <-> z.outside[w]",
        "a.quoted[e] <-> a.quoted[e]",
    ]
