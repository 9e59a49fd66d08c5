"""Sizes that only the tensors know: solved from the shapes of whichever side is the source."""

from __future__ import annotations

from . import hir
from .check import Proof
from .emit import Env
from .plan import Function
from .problems import refuse


def measuring(proof: Proof, map_: hir.Map, env: Env, name: str) -> Function:
    """The function that solves a statement's measured sizes."""
    refuse("M0200", "a size measured on tensors is not supported yet", proof.statement.span)
