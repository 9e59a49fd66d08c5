"""Files of torch.save with a state of training that are not what they should be: refused with one line, nothing is run."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ..runtime.states import (
    MESHES,
    STATE,
    as_trained,
    mesh,
    states,
    training_state,
    write_whole,
)
from .pickles import Code


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], object]:
    """Another state in the file of rank 0."""

    def broken(source: Path) -> None:
        file = source / "iter_0000017/mp_rank_00_000" / STATE
        state = training_state(dict(torch.load(file, weights_only=False)["model"]))
        made = change(state)
        torch.save(state if made is None else made, file)

    return broken


FILE = f"SOURCE/iter_0000017/mp_rank_00_000/{STATE}"
TOUCH = Code(os.system, "touch evil")
REFUSED: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "code in the arguments",
        changed(lambda state: vars(state["args"]).update(evil=TOUCH)),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found posix.system in its pickle, which is not run",
    ),
    (
        "code beside the model",
        changed(lambda state: state.update(evil=[{"a": (1, TOUCH)}])),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found posix.system in its pickle, which is not run",
    ),
    (
        "code for a tensor",
        changed(lambda state: state["model"].update({"scale.one": TOUCH})),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found posix.system in its pickle, which is not run",
    ),
    (
        "a function of a package that is known, for a tensor",
        changed(
            lambda state: state["model"].update({"scale.one": argparse.Namespace(a=1)})
        ),
        f"{FILE}: scale.one (rank tp=0 pp=0 etp=0 ep=0): expected a tensor, found something else, which is not read (states.map:27)",
    ),
    (
        "something else for a tensor with axes",
        changed(lambda state: state["model"].update({"embedding.weight": None})),
        f"{FILE}: embedding.weight (rank tp=0 pp=0 etp=0 ep=0) [f@tp e]: expected a tensor, found something else, which is not read (states.map:22)",
    ),
    (
        "a number for a tensor",
        changed(lambda state: state["model"].update({"scale.one": 2.5})),
        f"{FILE}: scale.one: expected a name and a tensor, found float; save a flat dictionary of tensors",
    ),
    (
        "a model in a model",
        changed(lambda state: state.update(model={"language_model": state["model"]})),
        f"{FILE}: language_model: expected a name and a tensor, found dict; save a flat dictionary of tensors",
    ),
    (
        "no model",
        changed(lambda state: state.pop("model") and None),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found one that has args, checkpoint_version, iteration",
    ),
    (
        "a virtual stage without a model",
        changed(lambda state: state.update(model0=state.pop("model"), model2={})),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found one that has args, checkpoint_version, iteration",
    ),
    (
        "tensors and no state",
        changed(lambda state: state["model"]),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found the tensors themselves",
    ),
    (
        "a list for a state",
        changed(lambda state: [state]),
        f"{FILE}: expected a dictionary whose `model` is one of tensors, found list",
    ),
    (
        "names that are no names",
        changed(lambda state: state["model"].update({("a", 1): torch.ones(1)})),
        f"{FILE}: expected a zip file of plain tensors, as torch.save writes it, found in its pickle a tuple for a name",
    ),
    (
        "a rank that is missing",
        lambda source: (source / "iter_0000017/mp_rank_01_001" / STATE).unlink(),
        f"SOURCE/iter_0000017/mp_rank_01_001/{STATE}: expected for rank tp=1 pp=0 etp=0 ep=1 of tp=2 pp=1 etp=1 ep=2, found none; fetch it, or say which mesh it is",
    ),
    (
        "a rank too many",
        lambda source: shutil.copytree(
            source / "iter_0000017/mp_rank_01_001",
            source / "iter_0000017/mp_rank_01_002",
        ),
        f"SOURCE/iter_0000017/mp_rank_01_002/{STATE}: expected the 2 files of tp=2 pp=1 etp=1 ep=2, found this one too; say which mesh it is, or remove the file",
    ),
    (
        "the latest that is missing",
        lambda source: (source / "latest_checkpointed_iteration.txt").write_text("6"),
        "SOURCE/latest_checkpointed_iteration.txt: expected the folder iter_0000006, which it names, found none",
    ),
    (
        "the latest that is no number",
        lambda source: (source / "latest_checkpointed_iteration.txt").write_text(
            "../x"
        ),
        "SOURCE/latest_checkpointed_iteration.txt: expected a number of steps or 'release', found '../x'",
    ),
    (
        "files of both formats",
        lambda source: shutil.copytree(
            source.parent / "plain", source, dirs_exist_ok=True
        ),
        "SOURCE: expected rank files in one format, found those of safetensors and of torch; move the others elsewhere",
    ),
]


@pytest.mark.parametrize(
    ("broken", "message"),
    [kind[1:] for kind in REFUSED],
    ids=[kind[0] for kind in REFUSED],
)
def test_it_is_refused(
    broken: Callable[[Path], object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes, folders = MESHES[1]
    source = as_trained(tmp_path, sizes, folders)
    broken(source)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(states().ConversionError) as error:
        states().convert_checkpoint(
            source, tmp_path / "never", to="hf", mesh=mesh(sizes)
        )
    assert str(error.value).replace(str(source), "SOURCE") == message
    assert sorted(os.listdir(tmp_path)) == before


def test_names_that_leave_the_mesh_open(tmp_path: Path) -> None:
    source = as_trained(tmp_path, *MESHES[1])
    with pytest.raises(states().ConversionError) as error:
        states().convert_checkpoint(source, tmp_path / "never", to="hf")
    assert str(error.value).replace(str(source), "SOURCE") == (
        f"SOURCE/iter_0000017/mp_rank_00_000/{STATE}: expected to be told the mesh, since this name leaves open "
        "whose number it has; say which mesh it is"
    )


def test_ranks_that_names_do_not_tell_apart(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    with pytest.raises(states().ConversionError) as error:
        states().convert_checkpoint(
            tmp_path / "hf", tmp_path / "never", form="torch", mesh=mesh((1, 1, 2, 1))
        )
    assert str(error.value) == (
        f"release/mp_rank_00/{STATE}: expected the file of one rank, found it for tp=0 pp=0 etp=0 ep=0 and for "
        "tp=0 pp=0 etp=1 ep=0, which this format does not tell apart; choose another mesh"
    )
