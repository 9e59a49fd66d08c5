"""Kinds of hostile checkpoints: tensors with names that are no names, and tensors that the map does not state."""

from __future__ import annotations

from ..runtime.files import Stored, coded
from ..runtime.toy_checkpoint import D, E, G
from .breaking import Kind, config, every, extra, stored, tensors

BIDI = "\u202egnp.\u2066x"
NAMES = [
    Kind(
        "a name with a line end",
        extra("layers.0.q.weight\nerror: all is well"),
        "SOURCE/model.safetensors: layers.0.q.weight\\nerror: all is well: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name with NUL",
        extra("embed.weight\0"),
        "SOURCE/model.safetensors: embed.weight\\x00: no statement of toy reads it; the nearest name is embed.weight (toy.map:26); a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name that runs backwards",
        extra(BIDI),
        "SOURCE/model.safetensors: \\u202egnp.\\u2066x: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name that colours a terminal",
        extra("\x1b[31mred\x1b[0m\x9b2J"),
        "SOURCE/model.safetensors: \\x1b[31mred\\x1b[0m\\x9b2J: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name of 64 KB",
        extra("n" * 65536),
        "SOURCE/model.safetensors: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn... (65377 characters) ...nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name of 64 KB in words",
        extra("layers 0 q " * 6000),
        f"SOURCE/model.safetensors: {'layers 0 q ' * 6000}: no statement of toy reads it; "
        "a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name of 200,000 components",
        extra("layers.0." + "x." * 200_000 + "inv_freqs"),
        "SOURCE/model.safetensors: layers.0.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x... (399859 characters) ...x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.inv_freqs: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name that is a path",
        extra("../../etc/passwd"),
        "SOURCE/model.safetensors: ../../etc/passwd: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name that is an absolute path",
        extra("/etc/passwd"),
        "SOURCE/model.safetensors: /etc/passwd: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name of no letters",
        extra(""),
        "SOURCE/model.safetensors: : no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a name in letters that look alike",
        extra("\u0435mbed.weight"),
        "SOURCE/model.safetensors: \u0435mbed.weight: no statement of toy reads it; the nearest name is embed.weight (toy.map:26); a `drop` in the map leaves a tensor behind",
    ),
]
TENSORS = [
    Kind(
        "a tensor that is missing",
        tensors(lambda found: found.pop("layers.2.down.weight")),
        "SOURCE/model.safetensors: layers.2.down.weight: missing; toy.map:33 reads it as [e f], expected [5, 14] (e=5 f=14); the nearest name is layers.3.down.weight",
    ),
    Kind(
        "a tensor of no elements",
        stored("layers.0.up.weight", Stored("BF16", (0, 14), b"")),
        "SOURCE/model.safetensors: layers.0.up.weight [e f]: expected [5, 14] (e=5 f=14), found [0, 14] (toy.map:34)",
    ),
    Kind(
        "a tensor of no axes",
        stored("final.weight", Stored("BF16", (), b"xx")),
        "SOURCE/model.safetensors: final.weight [e]: expected [5] (e=5), found [] (toy.map:38)",
    ),
    Kind(
        "a tensor that is turned",
        stored("layers.1.down.weight", coded(9, "BF16", 14, E)),
        "SOURCE/model.safetensors: layers.1.down.weight [e f]: expected [5, 14] (e=5 f=14), found [14, 5] (toy.map:33)",
    ),
    Kind(
        "a tensor of another dtype than its neighbours",
        stored("layers.3.k.weight", coded(9, "F16", G * D, E)),
        "decoder.3.qkv.weight: its parts differ in dtype, SOURCE/model.safetensors: layers.3.q.weight is BF16 and SOURCE/model.safetensors: layers.3.k.weight is F16 (toy.map:30); cast one of them first",
    ),
    Kind(
        "a head that is not the embedding",
        every(stored("lm_head.weight", coded(9, "BF16", 29, E)), config(tied=True)),
        "SOURCE/model.safetensors: embed.weight and lm_head.weight are one tensor in this map: element [0, 0]: expected the bytes 01 00, found 5a 22",
    ),
    Kind(
        "a head too many",
        stored("lm_head.weight", coded(0, "BF16", 29, E)),
        "SOURCE/model.safetensors: lm_head.weight: no statement of toy reads it; a `drop` in the map leaves a tensor behind",
    ),
]
KINDS = [*NAMES, *TENSORS]
