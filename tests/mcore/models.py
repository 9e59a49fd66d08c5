"""Whole models on a rank: the layers of its stage, the ends, and the layers that predict further tokens."""

from __future__ import annotations

from typing import Any

from . import families, plain, seeing
from .families import Config, predicting
from .ranks import Layer, Taken, Tensor, column, owned, padded, same

FAMILIES = {**families.FAMILIES, **plain.FAMILIES, **seeing.FAMILIES}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
BACKBONE = ("backbone", "lm_head")


def beginnings(family: str) -> tuple[str, str, str]:
    """What the names of the decoder and of the head begin with here, and all names of the decoder there."""
    if family == "nemotron_h":
        return (*BACKBONE, "")
    here = seeing.NAMES.get(family, ("model", "lm_head"))
    return (*here, "language_model." if family in seeing.NAMES else "")


def model_on(
    family: str, t: Taken, c: Config, mesh: Any, rank: Any
) -> dict[str, Tensor]:
    build, grouped = FAMILIES[family][1], c["experts"] == "grouped"
    layers = owned(c["num_hidden_layers"], mesh.pp, c["first"], c["last"])[rank.pp]
    decoder, _, there = beginnings(family)
    found = {}
    for local, i in enumerate(layers):
        layer = build(t.under(f"{decoder}.layers.{i}"), c, i)
        for name, tensor in layer.on(mesh, rank, grouped):
            found[f"{there}decoder.layers.{local}.{name}"] = tensor
    if rank.pp == 0:
        found |= {name: t[name] for name in seeing.TAILS.get(family, ())}
        if "vision_config" in c:
            found |= dict(seeing.encoder(t, c).on(mesh, rank, grouped))
    for name, tensor in ends(family, t, c, mesh, rank).items():
        found[there + name] = tensor
    return found | ahead(family, t, c, mesh, rank)


def ends(family: str, t: Taken, c: Config, mesh: Any, rank: Any) -> dict[str, Tensor]:
    found, first, last = {}, rank.pp == 0, rank.pp == mesh.pp - 1
    tied, (decoder, head, _) = c["tie_word_embeddings"], beginnings(family)
    names = ("embed_tokens.weight", "norm", "final_layernorm")
    if family == "nemotron_h":
        names = ("embeddings.weight", "norm_f", "final_norm")
    embedding = padded(t[f"{decoder}.{names[0]}"], c, mesh.tp).chunk(mesh.tp)[rank.tp]
    if first or (last and rounds(c)):
        found["embedding.word_embeddings.weight"] = embedding
    for kind in ("weight", "bias") if last else ():
        if f"{decoder}.{names[1]}.{kind}" in t:
            found[f"decoder.{names[2]}.{kind}"] = t[f"{decoder}.{names[1]}.{kind}"]
    if last and tied and mesh.pp > 1:
        found["output_layer.weight"] = embedding
    if last and not tied:
        head = padded(t[f"{head}.weight"], c, mesh.tp).chunk(mesh.tp)[rank.tp]
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
        if family == "nemotron_h":
            found |= hybrid_ahead(t, c, mesh, rank, q)
            continue
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


def hybrid_ahead(
    t: Taken, c: Config, mesh: Any, rank: Any, q: int
) -> dict[str, Tensor]:
    """Layers of several kinds in each round; they are counted on there, and anew here."""
    pattern, grouped = c["mtp_hybrid_override_pattern"], c["experts"] == "grouped"
    start, there, found = q * len(pattern), f"mtp.layers.{q}", dict[str, Tensor]()
    outer = {
        f"{name}.weight": same(t[f"mtp.layers.{start}.{name}.weight"])
        for name in ("enorm", "hnorm")
    }
    outer["eh_proj.weight"] = column(t[f"mtp.layers.{start}.eh_proj.weight"])
    last = f"mtp.layers.{start + len(pattern) - 1}.final_layernorm.weight"
    outer["final_layernorm.weight"] = same(t[last])
    for name, tensor in Layer(outer).on(mesh, rank, grouped):
        found[f"{there}.{name}"] = tensor
    for j, letter in enumerate(pattern):
        layer = plain.hybrid_layer(t.under(f"mtp.layers.{start + j}"), c, letter)
        for name, tensor in layer.on(mesh, rank, grouped):
            found[f"{there}.mtp_model_layer.layers.{j}.{name}"] = tensor
    return found


# Names under which a layer of prediction repeats the embedding and the head.
TWINS = {"embed_tokens.weight": EMBEDDING, "shared_head.head.weight": HEAD}


def twin(name: str, c: Config) -> str | None:
    """The name of the tensor that this one repeats."""
    first = TWINS.get(name.split(".", 3)[-1]) if name.startswith("model.l") else None
    return EMBEDDING if first and c["tie_word_embeddings"] else first
