"""What is written out, by definitions and included files, is what one would write."""

from __future__ import annotations

from pathlib import Path

from mapc.compiler import expand
from mapc.compiler.library import library
from mapc.dsl.parser import parse
from mapc.dsl.source import Source
from mapc.dsl.syntax import Config, Tensors

from .test_expanding import HEAD

WRITTEN = HEAD + """
tensors {
    top.weight[e] <-> top.weight[e]
    for i in L: model.layers.{i} <-> layers.{i} {
        x.y.norm.{weight | gamma}[e] + 1 <-> z.norm[e] = z.tied.norm if L > 1
        x.y.{i}.bias[e]? <-> z.{q,k}.bias[e], z{i}.x[e] with bias
        fp8_block(x.y.w, "a.w", block=128)[e] <-> z.w[e] ?? zeros
        make left x.y.mask[1 e e] = tril(e) as u8
        drop right z.**._extra_state if L > 1
        x.y.** <-> z.**
        variant stored: fused {
            for j in X where j > 1: x.y.{j} <-> z.{i}.{j} {
                weight[e] <-> x.y.weight[e]
            } else {
                other[e] <-> other[e]
            }
        } apart {
            if X > 1 {
                x.y.inner.weight[e] <-> z.outer.weight[e]
            } else if X > 2 {
                weight[e] <-> weight[e]
            }
        }
        for j in X: x.y.parts.one.{j} <-> z.{j}.p.q {
            one.weight[e] <-> one.weight[e]
        }
        for j in X: x.y.parts.two.{j} <-> z.{j}.r {
            one.weight[e] <-> one.weight[e]
        }
    }
}
"""
USED = HEAD.replace("language 1\n", "") + """
def layer(a, b) {
    a.norm.{weight | gamma}[e] + 1 <-> b.norm[e] = b.tied.norm if L > 1
    a.{i}.bias[e]? <-> b.{q,k}.bias[e], b{i}.x[e] with bias
    fp8_block(a.w, "a.w", block=128)[e] <-> b.w[e] ?? zeros
    make left a.mask[1 e e] = tril(e) as u8
    drop right b.**._extra_state if L > 1
    a.** <-> b.**
    variant stored: fused {
        for j in X where j > 1: a.{j} <-> b.{i}.{j} {
            weight[e] <-> a.weight[e]
        } else {
            other[e] <-> other[e]
        }
    } apart {
        if X > 1 {
            use inner(a.inner, b.outer)
        } else if X > 2 {
            use inner("", "")
        }
    }
    def inner(b, a) {
        b.weight[e] <-> a.weight[e]
    }
    use pairs(a.parts, b)
}
def pairs(a, b) {
    for j in X: a.{one,two}.{j} <-> b.{j}.{"p.q",r} {
        use one()
    }
}
def one() {
    one.weight[e] <-> one.weight[e]
}
tensors {
    for i in L: model.layers.{i} <-> layers.{i} {
        use layer(x.y, z)
    }
}
"""


def test_what_is_written_out_is_what_one_would_write(tmp_path: Path) -> None:
    used = USED.replace("z{i}", "b{i}")
    first = 'language 1\ninclude "top.map"\n' + used
    text = "language 1\ntensors {\n    top.weight[e] <-> top.weight[e]\n}\n"
    (tmp_path / "top.map").write_text(text)
    made = expand.expand(parse(Source("m.map", first)), library(None, [tmp_path]))
    plain = parse(Source("m.map", WRITTEN.replace("z{i}", "b{i}")))
    items = [item for item in plain.items if not isinstance(item, Config)]
    assert [item for item in made.items if isinstance(item, Tensors)] == [items[-1]]
    assert made.items[0] == plain.items[0]
    assert [source.name for source in made.included] == ["top.map"]
