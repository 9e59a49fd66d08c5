"""One table of relative positions becomes a copy in every block; everything else keeps its name."""

CASES = [{"D": 3}]
TABLE = "relative_position_decoder.relative_attention_bias.weight"


def configs(c):
    return {"decoder_num_hidden_layers": c.D}, {"decoder_num_hidden_layers": c.D}


def left(c):
    return {TABLE: (8, 3), "decoder.block.0.norm.weight": (5,), "shared.weight": (7, 5)}


def right(t, c, mesh, rank):
    found = {name: tensor for name, tensor in t.items() if name != TABLE}
    for k in range(c.D):
        inner = f"decoder.block.{k}.layer.0.SelfAttention."
        found[inner + "relative_attention_bias.weight"] = t[TABLE]
    return found
