"""What is made, and what is left behind, in chunks with names of their own: two of two layers on each of two stages."""

import torch

CASES = [{"config": {"L": 8, "e": 4}, "mesh": {"tp": tp, "pp": 2}} for tp in (1, 2, 4)]
GONE_RIGHT = ("part1.decoder.1.state", "part0.decoder.0.cache", "part1.cache")
ACROSS = (
    "stages_named_made: part0.decoder.0.number is made by stages_named_made.map:17, and no other layout tells whose "
    "it is; convert the checkpoint there and back"
)


def whole(c):
    return {f"layers.{i}.weight": (c.e,) for i in range(c.L)}


def parts(t, c, mesh, rank):
    found = {}
    for chunk in (0, 1):
        for number in (0, 1):
            i, own = 4 * chunk + 2 * rank.pp + number, f"part{chunk}.decoder.{number}"
            found[f"{own}.weight"] = t[f"layers.{i}.weight"]
            found[f"{own}.number"] = torch.tensor(i + 1)
    if rank.pp == 1:
        found["part1.ids"] = torch.arange(c.e).float().chunk(mesh.tp)[rank.tp]
    return found
