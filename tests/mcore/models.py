"""Whole models on a rank: the layers of its stage, the ends, and the layers that predict further tokens."""

from __future__ import annotations

from typing import Any

from .families import FAMILIES, Config, predicting
from .ranks import Layer, Taken, Tensor, owned, padded

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def model_on(
    family: str, t: Taken, c: Config, mesh: Any, rank: Any
) -> dict[str, Tensor]:
    build, grouped = FAMILIES[family][1], c["experts"] == "grouped"
    layers = owned(c["num_hidden_layers"], mesh.pp, c["first"], c["last"])[rank.pp]
    found = {}
    for local, i in enumerate(layers):
        layer = build(t.under(f"model.layers.{i}"), c, i)
        for name, tensor in layer.on(mesh, rank, grouped):
            found[f"decoder.layers.{local}.{name}"] = tensor
    return found | ends(t, c, mesh, rank) | ahead(family, t, c, mesh, rank)


def ends(t: Taken, c: Config, mesh: Any, rank: Any) -> dict[str, Tensor]:
    found, first, last = {}, rank.pp == 0, rank.pp == mesh.pp - 1
    tied = c["tie_word_embeddings"]
    embedding = padded(t[EMBEDDING], c, mesh.tp).chunk(mesh.tp)[rank.tp]
    if first or (last and rounds(c)):
        found["embedding.word_embeddings.weight"] = embedding
    if last:
        found["decoder.final_layernorm.weight"] = t["model.norm.weight"]
    if last and tied and mesh.pp > 1:
        found["output_layer.weight"] = embedding
    if last and not tied:
        head = padded(t[HEAD], c, mesh.tp).chunk(mesh.tp)[rank.tp]
        found["output_layer.weight"] = head
    return found


def rounds(c: Config) -> range:
    if c["prediction"] == "left_out":
        return range(0)
    return range(c.get("num_nextn_predict_layers", 1))


def ahead(family: str, t: Taken, c: Config, mesh: Any, rank: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if rank.pp < mesh.pp - 1:
        return found
    for q in rounds(c):
        i = c["num_hidden_layers"] + q
        t.left -= {f"model.layers.{i}.{name}" for name in TWINS}
        own = t.under(f"model.layers.{i}")
        if "mtp.fc.weight" in t:
            own = t.under(f"mtp.layers.{q}")
        outer = Layer(predicting(own))
        inner = FAMILIES[family][1](own, c, i)
        grouped = c["experts"] == "grouped"
        for name, tensor in outer.on(mesh, rank, grouped):
            found[f"mtp.layers.{q}.{name}"] = tensor
        for name, tensor in inner.on(mesh, rank, grouped):
            found[f"mtp.layers.{q}.transformer_layer.{name}"] = tensor
    return found


# Names under which a layer of prediction repeats the embedding and the head.
TWINS = {"embed_tokens.weight": EMBEDDING, "shared_head.head.weight": HEAD}


def twin(name: str, c: Config) -> str | None:
    """The name of the tensor that this one repeats."""
    first = TWINS.get(name.split(".", 3)[-1]) if name.startswith("model.l") else None
    return EMBEDDING if first and c["tie_word_embeddings"] else first
