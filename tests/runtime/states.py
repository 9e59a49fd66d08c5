"""Checkpoints of states.map, as it writes them and as a training of Megatron leaves them."""

from __future__ import annotations

import argparse
import collections
import io
import json
import random
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from .toy import load

CONFIG = {"layers": 5, "e": 7, "f": 12, "experts": 4}
# tp, pp, etp, ep, and what their files are called
MESHES = [
    ((1, 1, 1, 1), ["mp_rank_00"]),
    ((2, 1, 1, 2), ["mp_rank_00_000", "mp_rank_01_001"]),
    (
        (2, 2, 2, 1),
        ["mp_rank_00_000", "mp_rank_01_000", "mp_rank_00_001", "mp_rank_01_001"],
    ),
    (
        (1, 2, 1, 2),
        [
            "mp_rank_00_000_000",
            "mp_rank_00_000_001",
            "mp_rank_00_001_000",
            "mp_rank_00_001_001",
        ],
    ),
]
STATE = "model_optim_rng.pt"


def states() -> ModuleType:
    return load(Path(__file__).parent / "states.map")


def mesh(sizes: tuple[int, ...]) -> Any:
    return states().Mesh(**dict(zip(("tp", "pp", "etp", "ep"), sizes)))


def settings(sizes: tuple[int, ...]) -> dict[str, Any]:
    return {"mesh": mesh(sizes), "halves": sizes[1] == 2}


def write_whole(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint whose elements all differ, some of it in other dtypes."""
    tensors, count = {}, 0
    config = states().Config.from_hf(CONFIG)
    for name, (shape, _) in states().expected_hf(config).items():
        size = int(np.prod(shape))
        tensors[name] = torch.arange(count, count + size, dtype=torch.int32).view(shape)
        count += size
    tensors["embed.weight"] = tensors["embed.weight"].to(torch.bfloat16)
    tensors["scale.one"] = torch.tensor(2.5, dtype=torch.float64)
    tensors["scale.none"] = torch.zeros(0, 3, dtype=torch.float16)
    if hasattr(torch, "uint16"):  # which the oldest torch lacks
        tensors["scale.two"] = torch.arange(5, dtype=torch.int16).view(torch.uint16)
    tensors["scale.small"] = torch.arange(3).to(torch.float8_e4m3fn)
    path.mkdir(parents=True)
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(CONFIG))
    return tensors


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(
        (
            one[name].dtype == tensor.dtype
            and one[name].shape == tensor.shape
            and one[name]
            .contiguous()
            .view(torch.uint8)
            .equal(tensor.contiguous().view(torch.uint8))
            if tensor.dim()
            else one[name].equal(tensor)
        )
        for name, tensor in other.items()
    )


def training_state(model: dict[str, Any]) -> dict[str, Any]:
    """What a training saves besides its model."""
    moments = {"step": 3, "exp_avg": torch.zeros(3)}
    groups = [{"lr": 1e-3, "betas": (0.9, 0.95), "params": [0]}]
    rng = {
        "random_rng_state": random.getstate(),
        "np_rng_state": np.random.get_state(),
        "torch_rng_state": torch.get_rng_state(),
        "rng_tracker_states": {},
    }
    said = {"sizes": {1, 2}, "path": Path("a"), "signal": signal.SIGTERM, "none": None}
    return {
        "args": argparse.Namespace(params_dtype=torch.bfloat16, big=2**70, **said),
        "checkpoint_version": 3.0,
        "iteration": 17,
        "model": model,
        "optimizer": {"state": {0: moments}, "param_groups": groups, ("a", 1): 2},
        "opt_param_scheduler": collections.defaultdict(list, lr=[0.5]),
        "queue": collections.deque([1]),
        "rng_state": [rng],
    }


def as_trained(path: Path, sizes: tuple[int, ...], folders: list[str]) -> Path:
    """A checkpoint as a training leaves it, in the place of one of safetensors files."""
    write_whole(path / "hf")
    states().convert_checkpoint(path / "hf", path / "plain", **settings(sizes))
    for rank, folder in zip(mesh(sizes).ranks(), folders):
        found = load_file(path / "plain" / states().rank_file(rank))
        # Copies, since torch does not save all tensors that load_file makes.
        model: dict[str, Any] = {name: one.clone() for name, one in found.items()}
        model["decoder.layers.0.norm._extra_state"] = io.BytesIO(b"scales")
        model["decoder.final._extra_state"] = None
        for steps in (5, 17):
            file = path / f"trained/iter_{steps:07}" / folder / STATE
            file.parent.mkdir(parents=True)
            torch.save(training_state(model), file)
    (path / "trained/latest_checkpointed_iteration.txt").write_text("17\n")
    config = json.loads((path / "plain/config.json").read_text())
    del config["mapc"]
    (path / "trained/config.json").write_text(json.dumps(config))
    return path / "trained"
