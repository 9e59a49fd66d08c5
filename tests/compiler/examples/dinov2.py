"""Names change inside the layers; either checkpoint may carry a prefix, and is written without it."""

CASES = [{"L": 2, "swiglu": False}, {"L": 2, "swiglu": True}]


def configs(c):
    both = {"num_hidden_layers": c.L, "use_swiglu_ffn": c.swiglu}
    return both, both


def left(c):
    shapes = {"embeddings.cls_token": (1, 1, 5), "layernorm.weight": (5,)}
    for i in range(c.L):
        layer = f"encoder.layer.{i}."
        names = {"norm1": (5,), "attention.output.dense": (5, 5)}
        names |= {f"attention.attention.{x}": (5, 5) for x in ("query", "key", "value")}
        if c.swiglu:
            names |= {"mlp.weights_in": (14, 5), "mlp.weights_out": (5, 7)}
        else:
            names |= {"mlp.fc1": (7, 5)}
        for name, shape in names.items():
            shapes[f"{layer}{name}.weight"] = shape
            shapes[f"{layer}{name}.bias"] = shape[:1]
    return shapes


def right(t, c, mesh, rank):
    found = {}
    for name, tensor in t.items():
        for x in ("query", "key", "value"):
            name = name.replace(f"attention.attention.{x}", f"attention.{x[0]}_proj")
        name = name.replace("attention.output.dense", "attention.o_proj")
        name = name.replace("mlp.weights_out", "mlp.down_proj")
        if "mlp.weights_in" in name:
            for part, x in zip(("gate", "up"), tensor.chunk(2), strict=True):
                found[name.replace("weights_in", f"{part}_proj")] = x
        else:
            found[name] = tensor
    return found


def left_too(t, c):
    yield {f"dinov2.{name}": tensor for name, tensor in t.items()}


def right_too(ranks, c):
    yield {None: {f"dinov2.{name}": tensor for name, tensor in ranks[None].items()}}
