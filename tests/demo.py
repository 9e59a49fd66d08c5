"""A checkpoint of transformers to Megatron's rank files and back, by the command line a user has. Run by `make demo`.

Two small models are made, saved in several shards, converted to tp=2 pp=2 and converted back. Three things are then
compared with the original: the bytes of every tensor, config.json, and the logits of the model that transformers loads
from the result, bit for bit. Exits with 1 if one of them differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

import torch
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

MAP = Path(__file__).parents[1] / "dsl" / "maps" / "llama_hf_mcore.map"
TP, PP = 2, 2


@dataclass(frozen=True)
class Row:
    """What was converted, and whether it came back."""

    model: str
    files: int
    tensors: int
    size: int
    rank_files: int
    bytes_equal: bool
    config_equal: bool
    logits_equal: bool

    @property
    def passed(self) -> bool:
        return self.bytes_equal and self.config_equal and self.logits_equal


def main() -> int:
    started = time.perf_counter()
    disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="mapc-demo-") as scratch:
        folder = Path(scratch)
        say(f"mapc build {MAP.name}")
        run("-m", "mapc.compiler", "build", MAP, "--output", folder)
        converter = folder / f"{MAP.stem}.py"
        rows = [
            round_trip(converter, folder / name, name, tied)
            for name, tied in [("untied", False), ("tied", True)]
        ]
    print_table(rows)
    failed = [row.model for row in rows if not row.passed]
    print(f"\n{'FAILED: ' + ', '.join(failed) if failed else 'all equal'}", end="")
    print(f" ({time.perf_counter() - started:.0f} s)")
    return 1 if failed else 0


def round_trip(converter: Path, folder: Path, name: str, tied: bool) -> Row:
    original, ranks, back = folder / "original", folder / "megatron", folder / "back"
    say(f"{name}: transformers makes a model and saves it")
    save_model(original, tied)
    say(f"{name}: {converter.name} to-mcore --tp {TP} --pp {PP}")
    run(converter, "to-mcore", original, ranks, "--tp", TP, "--pp", PP)
    say(f"{name}: {converter.name} to-hf")
    run(converter, "to-hf", ranks, back)
    before, after = tensors(original), tensors(back)
    return Row(
        model=name,
        files=len(list(original.glob("*.safetensors"))),
        tensors=len(before),
        size=sum(len(data) for _, _, data in before.values()),
        rank_files=len(list(ranks.rglob("*.safetensors"))),
        bytes_equal=before == after,
        config_equal=config(original) == config(back),
        logits_equal=torch.equal(logits(original), logits(back)),
    )


def save_model(folder: Path, tied: bool) -> None:
    """A Llama with grouped queries, in bfloat16 and in several shards; its vocabulary is no multiple of the padding."""
    torch.manual_seed(1)
    settings = LlamaConfig(
        hidden_size=192,
        intermediate_size=416,
        num_hidden_layers=6,
        num_attention_heads=12,
        num_key_value_heads=4,
        vocab_size=1003,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        dtype=torch.bfloat16,
    )
    model = LlamaForCausalLM(settings).to(torch.bfloat16)
    with torch.no_grad():
        for (
            parameter
        ) in (
            model.parameters()
        ):  # the norms too, which begin as ones: any swap must show
            parameter.normal_(std=0.5 if parameter.ndim == 1 else 0.05)
    model.save_pretrained(folder, max_shard_size="1MB")


def tensors(folder: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """Every tensor of the folder's files: dtype, shape and bytes."""
    found: dict[str, tuple[str, list[int], bytes]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - a file is not iterable
                tensor = file.get_tensor(name)
                data = tensor.contiguous().view(torch.uint8).numpy().tobytes()
                found[name] = (str(tensor.dtype), list(tensor.shape), data)
    return found


def config(folder: Path) -> object:
    return json.loads((folder / "config.json").read_text())


def logits(folder: Path) -> torch.Tensor:
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ids = torch.arange(3 * 37).reshape(3, 37) * 7 % model.config.vocab_size
    with torch.no_grad():
        return model(ids).logits


def run(*command: object) -> None:
    """A Python program in the environment of this one; its errors are shown, and its failure ends the demo."""
    subprocess.run(
        [sys.executable, *map(str, command)], check=True, stdout=subprocess.DEVNULL
    )


def say(line: str) -> None:
    print(f"  {line}", flush=True)


def print_table(rows: list[Row]) -> None:
    head = (
        "model",
        "files",
        "tensors",
        "bytes",
        "rank files",
        "bytes equal",
        "config equal",
        "logits equal",
    )
    body = [
        (row.model, row.files, row.tensors, f"{row.size:,}", row.rank_files)
        + tuple(
            "yes" if equal else "NO"
            for equal in (row.bytes_equal, row.config_equal, row.logits_equal)
        )
        for row in rows
    ]
    lines = [tuple(map(str, line)) for line in (head, *body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print()
    for model, *cells in lines:
        print(
            "  ".join(
                [
                    model.ljust(widths[0]),
                    *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)),
                ]
            )
        )


if __name__ == "__main__":
    sys.exit(main())
