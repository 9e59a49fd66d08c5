"""Resharding: what comes out is what a conversion to the other mesh would have written, file by file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..runtime import states
from ..runtime.files import coded, read, write
from ..runtime.toy import load, load_toy
from ..runtime.toy_checkpoint import (
    hf_tensors,
    mcore_tensors,
    rank_file,
    to_mcore,
    write_hf,
)
from .commands import run
from .shipped import Shipped, every_case

LEDGER = "mapc.json"
MESHES = [(1, 1), (2, 1), (1, 2), (2, 4)]
PAIRS = [(here, there, False) for here in MESHES for there in MESHES]
PAIRS += [((1, 1), (2, 2), True), ((2, 2), (1, 4), True), ((2, 4), (1, 1), True)]
REFUSED = [
    (
        ["--to-tp", "4"],
        1,
        "toy.map:33: f = 14 (e=5 f=14) is not a multiple of tp=4; choose a tp that divides it",
    ),
    (
        ["--to-pp", "3"],
        1,
        "pp=3: 4 layers do not divide over 3 stages; choose another pp or uneven stages",
    ),
    (
        ["--tp", "1", "--pp", "2"],
        1,
        "SOURCE/config.json: expected tp=1 pp=2 as asked for, found tp=2 pp=2",
    ),
    (["--to-tp", "0"], 2, "--to-tp: expected 1 or more, found 0"),
    (["--to-set", "vocab=3"], 2, "--to-set: expected vocab_multiple, found 'vocab'"),
    (
        ["--to-set", "vocab_multiple=x"],
        2,
        "--to-set vocab_multiple: expected a value of kind int, found 'x'",
    ),
    (
        ["--to-set", "vocab_multiple=1", "--to-tp", "2"],
        1,
        "toy.map:26: v^vp = 29 (v=29 e=5 vp=29) is not a multiple of tp=2; choose a tp that divides it",
    ),
]


def files_of(path: Path) -> dict[str, bytes]:
    """What a directory holds, but for the ledger, which says where it came from."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != LEDGER
    }


def others(case: Shipped) -> list[Any]:
    """The other meshes that the tests of a converter have a config on."""
    cases = case.test.CASES
    return [
        mesh for config, mesh in cases if config == case.config and mesh != case.mesh
    ]


def with_ranks() -> list[Any]:
    """Each case of the shipped converters whose config another case has on another mesh; three of each in the short run."""
    found = []
    count: dict[str, int] = {}
    for parameter in every_case():
        case: Shipped = parameter.values[0]
        if case.mesh is None or not others(case):
            continue
        stem = case.test.__name__
        count[stem] = count.get(stem, 0) + 1
        marks = [pytest.mark.long] if count[stem] > 3 else []
        found.append(pytest.param(case, id=parameter.id, marks=marks))
    return found


@pytest.mark.parametrize("case", with_ranks())
def test_as_a_conversion_would(case: Shipped, tmp_path: Path) -> None:
    """To the first other mesh of the same config and from there to the last."""
    source = case.write(tmp_path / "source")
    at = case.convert(source, tmp_path / "at")
    meshes = others(case)
    for number, mesh in enumerate({meshes[0]: 0, meshes[-1]: 0}):
        expected = case.convert(source, tmp_path / f"expected-{number}", mesh)
        found = tmp_path / f"found-{number}"
        case.module.reshard_checkpoint(at, found, to_mesh=mesh, verify=True)
        assert files_of(found) == files_of(expected)
        at = found


@pytest.mark.parametrize(("here", "there", "tied"), PAIRS)
def test_element_by_element(
    here: tuple[int, int], there: tuple[int, int], tied: bool, tmp_path: Path
) -> None:
    """From any mesh to any other, against what a rank holds by its definition."""
    tensors, toy = hf_tensors(tied=tied), load_toy()
    source = write_hf(tmp_path / "hf", tensors, tied=tied)
    to_mcore(source, tmp_path / "here", *here)
    target = tmp_path / "there"
    toy.reshard_checkpoint(tmp_path / "here", target, to_mesh=toy.Mesh(*there))
    for at_tp in range(there[0]):
        for at_pp in range(there[1]):
            found = read(target / rank_file(at_tp, at_pp))
            assert found == mcore_tensors(tensors, *there, at_tp, at_pp)


def test_another_first_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The options of the target are its own; an empty one is that of the map."""
    case = next(p.values[0] for p in every_case() if p.id == "llama_hf_mcore-0")
    m, source = case.module, case.write(tmp_path / "hf")
    for name, first in (("early", 1), ("late", 3)):
        mesh, target = m.Mesh(tp=2, pp=2), tmp_path / name
        m.convert_checkpoint(source, target, mesh=mesh, first_stage=first)
    even = tmp_path / "even"
    m.convert_checkpoint(source, even, mesh=m.Mesh(tp=1, pp=4))
    arguments = ["reshard", str(tmp_path / "early"), str(tmp_path / "found")]
    arguments += ["--to-tp", "2", "--to-pp", "2", "--to-set", "first_stage=3"]
    assert m.main(arguments) == 0
    out = capsys.readouterr().out
    assert "mcore of tp=2 pp=2 -> mcore, tp=2 pp=2" in out
    assert files_of(tmp_path / "found") == files_of(tmp_path / "late")
    arguments = ["reshard", str(tmp_path / "late"), str(tmp_path / "found-even")]
    arguments += [
        "--tp",
        "2",
        "--pp",
        "2",
        "--to-pp",
        "4",
        "--to-set",
        "first_stage=",
        "--quiet",
    ]
    assert m.main(arguments) == 0
    assert files_of(tmp_path / "found-even") == files_of(even)


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (
        to_mcore(write_hf(tmp_path / "hf"), tmp_path / "here", 2, 2)
        and tmp_path / "here"
    )
    target = tmp_path / "there"
    for arguments, code, error in REFUSED:
        found = run(capsys, "reshard", source, target, *arguments)
        assert (found.code, found.out) == (code, "")
        assert found.err.splitlines()[-1] == f"error: {error}".replace(
            "SOURCE", str(source)
        )
        assert not target.exists()


@pytest.mark.parametrize("mesh", [(), ("--tp", "2")], ids=["as found", "claimed"])
def test_the_other_layout_is_told_so(
    mesh: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_hf(tmp_path / "hf")
    said = (
        f"error: {source}: expected the files of the ranks of mcore, found model.safetensors and none of them; "
        "to-mcore converts what has no ranks"
    )
    for command in ("reshard", "to-hf"):
        found = run(capsys, command, source, tmp_path / "there", *mesh)
        assert (found.code, found.out, found.err.splitlines()[-1]) == (1, "", said)
        assert not (tmp_path / "there").exists()


def test_no_ranks(tmp_path: Path) -> None:
    case = next(p.values[0] for p in every_case() if p.id == "llama_hf_cs-0")
    with pytest.raises(case.module.UsageError) as caught:
        case.module.reshard_directory(
            case.module.converter(), tmp_path, tmp_path / "there"
        )
    assert str(caught.value) == "expected a layout with ranks, this map has none"


@pytest.mark.parametrize(
    ("here", "there", "forms"),
    [
        (0, 2, ("torch", "safetensors")),
        (2, 3, ("safetensors", "torch")),
        (3, 1, ("torch", "torch")),
    ],
)
def test_any_format(
    here: int, there: int, forms: tuple[str, str], tmp_path: Path
) -> None:
    """Experts, tails and what is left behind, from one format to another."""
    m, source = states.states(), tmp_path / "hf"
    states.write_whole(source)
    one, other = (states.settings(states.MESHES[n][0]) for n in (here, there))
    m.convert_checkpoint(source, tmp_path / "here", form=forms[0], **one)
    m.convert_checkpoint(source, tmp_path / "expected", form=forms[1], **other)
    m.reshard_checkpoint(
        tmp_path / "here",
        tmp_path / "found",
        one["mesh"],
        other["mesh"],
        form=forms[1],
        to_options={"halves": other["halves"]},
    )
    assert files_of(tmp_path / "found") == files_of(tmp_path / "expected")


ODD = """language 1
map odd: hf <-> mcore

layout mcore {{
    mesh  tp
    files "rank_{{tp}}.safetensors"
}}
option s  = 1.0 as mcore.s
option hs = 1 as hf.hs
config {{
    e: e <-> e
    f: f <-> f
    g: g <-> g
}}
replica m = tp / g if tp > g else 1

tensors {{
    {statement}
}}
"""
SIZES = {"e": 8, "f": 5, "g": 2}
STATEMENTS: list[tuple[str, dict[str, Any], str | None]] = [
    ("k[(g f) e] <-> k[((m g)@tp f) e]", {}, None),
    ("a[f e] + 1 <-> a[f e@tp]", {}, None),
    ("a[e] <-> a[e] ?? ones", {}, None),
    ("a[e] / tp <-> a[e]", {}, "a"),
    ("a[e] * s <-> a[e]", {"s": 2.0}, "a"),
    ("a.** * s <-> b.**", {"s": 2.0}, "a.**"),
    ("a[e] <-> a[e] ?? full(s)", {"s": 2.0}, "a"),
    ("k[(g m f) e] <-> k[(g m f)@tp e]", {}, "k"),
]


@pytest.mark.parametrize(("statement", "options", "refused"), STATEMENTS)
def test_what_depends_on_the_mesh(
    statement: str, options: dict[str, Any], refused: str | None, tmp_path: Path
) -> None:
    """A statement that says something else on the other mesh is refused, whatever it is about."""
    m = load(tmp_path / "odd.map", ODD.format(statement=statement))
    source, here, there = (tmp_path / name for name in ("hf", "here", "there"))
    config = m.Config.from_hf(SIZES)
    shapes = m.expected_hf(config, m.Mesh(tp=2)) or {"a.one": ((8,), None)}
    write(
        source / "model.safetensors",
        {
            name: coded(n, "F32", *shape)
            for n, (name, (shape, _)) in enumerate(shapes.items())
        },
    )
    (source / "config.json").write_text(json.dumps(SIZES))
    m.convert_checkpoint(source, here, mesh=m.Mesh(tp=2))
    how = {"to_mesh": m.Mesh(tp=4), "to_options": options}
    if refused is None:
        m.convert_checkpoint(source, tmp_path / "expected", mesh=m.Mesh(tp=4))
        m.reshard_checkpoint(here, there, **how)
        assert files_of(there) == files_of(tmp_path / "expected")
        return
    with pytest.raises(m.ConversionError) as caught:
        m.reshard_checkpoint(here, there, **how)
    assert str(caught.value) == (
        f"odd: odd.map:18 does not say the same of {refused} on the mesh of the source and on that of the target, "
        "or with their options; convert the checkpoint to the other layout and back"
    )
    assert not there.exists()


def test_what_may_be_absent(tmp_path: Path) -> None:
    """One tensor with a default stays absent; of several all have to be there."""
    one = "a[e] <-> a[e] ?? ones\n    b[e] <-> b[e]"
    two = "ab[(e + e)] <-> a[e] ?? ones, b[e]"
    for statement, missing in ((one, None), (two, "a")):
        m = load(tmp_path / "odd.map", ODD.format(statement=statement))
        here, there = tmp_path / f"here-{missing}", tmp_path / f"there-{missing}"
        for tp in range(2):
            write(here / f"rank_{tp}.safetensors", {"b": coded(1, "F32", 8)})
        (here / "config.json").write_text(json.dumps(SIZES))
        if missing is None:
            m.reshard_checkpoint(here, there, to_mesh=m.Mesh(tp=1))
            assert read(there / "rank_0.safetensors") == {"b": coded(1, "F32", 8)}
            continue
        with pytest.raises(m.ConversionError) as caught:
            m.reshard_checkpoint(here, there, to_mesh=m.Mesh(tp=1))
        assert str(caught.value) == (
            f"{here}/rank_0.safetensors: a (rank tp=0): missing; odd.map:18 reads it as [e], expected [8] (e=8)"
        )


def test_the_ledger(tmp_path: Path) -> None:
    """It has the mesh of either side, and the options of the target."""
    m = load(tmp_path / "odd.map", ODD.format(statement="a[e] <-> a[e@tp]"))
    here, there = tmp_path / "here", tmp_path / "there"
    write(here / "rank_0.safetensors", {"a": coded(1, "F32", 8)})
    (here / "config.json").write_text(json.dumps(SIZES))
    how = {"to_mesh": m.Mesh(tp=4), "to_options": {"s": 2.0}}
    report = m.reshard_checkpoint(here, there, **how)
    assert (report.direction, report.mesh) == ("mcore of tp=1 -> mcore", {"tp": 4})
    ledger = json.loads((there / LEDGER).read_text())
    assert ledger["direction"] == report.direction
    assert ledger["mesh"] == {"mcore (source)": {"tp": 1}, "mcore": {"tp": 4}}
    assert ledger["settings"] == {"dtype": None, "s": 2.0, "hs": 1}
    with pytest.raises(m.UsageError) as caught:
        m.reshard_checkpoint(here, there, to_options={"hs": 2})
    assert str(caught.value) == "to_options: expected s, found 'hs'"
