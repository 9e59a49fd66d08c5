"""Names alone; a norm's weight and bias may be called gamma and beta on the left, and positions are made there."""

import torch

CASES = [
    {"L": 2, "v": 11, "p": 7, "tied": True},
    {"L": 1, "v": 11, "p": 7, "tied": False},
]
NORMS = {
    "bert.embeddings.LayerNorm": "bert_encoder.embed_ln_f",
    "cls.predictions.transform.LayerNorm": "bert_mlm_head.mlm_transform.ln",
}
LINEAR = {
    "bert.pooler.dense": "bert_encoder.pooler.pooler.ffn.0.linear_layer",
    "cls.predictions.transform.dense": "bert_mlm_head.mlm_transform.ffn.ffn.0.linear_layer",
    "cls.seq_relationship": "bert_cls_head.classifier.ffn.0.linear_layer",
}
EMBEDDINGS = {
    "token_type_embeddings": ("segment_embeddings", 2),
    "position_embeddings": ("position_embeddings.embed", 7),
    "word_embeddings": ("word_embeddings", 11),
}
HEAD = "bert_mlm_head.classifier.ffn.0.linear_layer."


def configs(c):
    both = {"num_hidden_layers": c.L, "vocab_size": c.v, "max_position_embeddings": c.p}
    left = both | {"tie_word_embeddings": c.tied}
    return left, both | {"share_embedding_weights": c.tied}


def inside(c):
    """Linear layers and norms of all layers, by their names on both sides."""
    linear, norms = dict(LINEAR), dict(NORMS)
    for i in range(c.L):
        old = f"bert.encoder.layer.{i}."
        new = f"bert_encoder.transformer_encoder.layers.{i}."
        for x in ("query", "key", "value"):
            name = f"{new}self_attn.proj_{x[0]}_dense_layer"
            linear[f"{old}attention.self.{x}"] = name
        output = "self_attn.proj_output_dense_layer"
        linear[old + "attention.output.dense"] = new + output
        linear[old + "intermediate.dense"] = new + "ffn.ffn.0.linear_layer"
        linear[old + "output.dense"] = new + "ffn.ffn.1.linear_layer"
        norms[old + "attention.output.LayerNorm"] = new + "norm1"
        norms[old + "output.LayerNorm"] = new + "norm2"
    return linear, norms


def left(c):
    linear, norms = inside(c)
    shapes = {f"bert.embeddings.{n}.weight": (s, 5) for n, (_, s) in EMBEDDINGS.items()}
    word = torch.arange(1.0, c.v * 5 + 1).reshape(c.v, 5)
    shapes["bert.embeddings.word_embeddings.weight"] = word
    shapes["cls.predictions.decoder.weight"] = word if c.tied else -word
    shapes["bert.embeddings.position_ids"] = torch.arange(c.p)[None]
    for name in linear:
        shapes |= {f"{name}.weight": (5, 5), f"{name}.bias": (5,)}
    for name in norms:
        shapes |= {f"{name}.weight": (5,), f"{name}.bias": (5,)}
    bias = torch.arange(1.0, c.v + 1)
    shapes |= {f"cls.predictions.{name}": bias for name in ("bias", "decoder.bias")}
    return shapes


def right(t, c, mesh, rank):
    linear, norms = inside(c)
    found = {HEAD + "weight": t["cls.predictions.decoder.weight"]}
    found[HEAD + "bias"] = t["cls.predictions.bias"]
    for old, (new, _) in EMBEDDINGS.items():
        name = f"bert_encoder.embedding_layer.{new}.weight"
        found[name] = t[f"bert.embeddings.{old}.weight"]
    for old, new in (linear | norms).items():
        found |= {f"{new}.{x}": t[f"{old}.{x}"] for x in ("weight", "bias")}
    return found


def left_too(t, c):
    old = {"weight": "gamma", "bias": "beta"}
    renamed = {}
    for name, tensor in t.items():
        head, _, last = name.rpartition(".")
        renamed[f"{head}.{old[last]}" if "LayerNorm" in head else name] = tensor
    yield renamed
    yield {name: x for name, x in t.items() if "position_ids" not in name}
    yield {name: x for name, x in t.items() if name != "cls.predictions.decoder.bias"}
