"""Opening a source: its plan, and the values in it that must agree, before anything is read on the way to a target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .casting import check_cast_library
from .checks import Source
from .compare import check_equal, check_made, count_nonzero
from .errors import ConversionError
from .layouts import Converter, Meshes, Side
from .plan import Plan, make_plan
from .repeated import check_repeated, repeated_blocks
from .source_folder import CONFIG_FILE, SourceFolder
from .usage import UsageError, check_known


def check_choices(converter: Converter, choices: Mapping[str, Any]) -> None:
    """UsageError for an option, a variant or an alternative that does not exist."""
    check_known("option or variant", choices, [*converter.options, *converter.variants])
    for name in _chosen(converter, choices):
        check_known(f"variant {name}", [choices[name]], converter.variants[name])


def check_request(converter: Converter, mesh: Any, threads: int | None) -> None:
    """UsageError for a mesh where neither layout has ranks, and for a number of threads that is none."""
    if mesh is not None and converter.mesh is None:
        raise UsageError(
            f"mesh: expected none, since neither layout has ranks, found {mesh!r}"
        )
    if threads is not None and threads < 1:
        raise UsageError(f"threads: expected 1 or more, found {threads}")


def plan_source(
    converter: Converter,
    source: SourceFolder,
    to: str,
    asked: Any,
    choices: Mapping[str, Any],
) -> Plan:
    """The plan of a conversion; its mesh is that of the layout with ranks, None where there is none.

    `asked` is what the caller says of the mesh, `choices` are options and variants by name. ConversionError where the
    source does not fit the map.
    """
    here = (converter.right, converter.left)[converter.side(to)]
    if isinstance(asked, Meshes):
        mesh: Any = asked._replace(left=source.mesh)
    else:
        mesh = source.mesh if here.file is not None else asked
    if mesh is None and converter.mesh is not None:
        mesh = converter.mesh()
    config = _read_config_of(here, source, choices)
    plan = make_plan(converter, to, config, mesh, source.tensors)
    if isinstance(mesh, Meshes):
        plan.config = replace(plan.config, **mesh.options)
    if here.containers:
        _settle(plan, source)
    _check_variants(converter, choices, plan.config)
    return plan


def _settle(plan: Plan, source: SourceFolder) -> None:
    """See where the bytes are of all that is read, where they do not lie together."""
    ranks = plan.converter.ranks(plan.target, plan.mesh)
    pairs = [*plan.ties, *plan.replicas, *plan.paddings, *plan.made]
    read = {
        *(s for rank in ranks for t in plan.transfers(rank) for s in t.sources),
        *(one for pair in pairs for one in pair if isinstance(one, Source)),
    }
    for rank, name in sorted(read, key=str):
        tensor = source.tensors[rank].get(name)
        if tensor is not None and tensor.spread is not None:
            tensor.spread.settle(source.folder)


def _read_config_of(
    here: Side, source: SourceFolder, choices: Mapping[str, Any]
) -> Any:
    """What the source's config says, with the options and variants that are asked for."""
    try:
        return here.read(source.config, **choices)
    except ConversionError as error:
        path = os.path.join(source.path, CONFIG_FILE)
        raise ConversionError(f"{path}: {error}") from None


def check_values(
    plan: Plan, source: SourceFolder, check_replicas: bool
) -> dict[str, int]:
    """Compare what must be equal in the source; the elements of padding that are not zero, by tensor."""
    check_equal(source.tensors, plan.ties, "are one tensor in this map")
    if check_replicas:
        check_equal(source.tensors, plan.replicas, "are copies of one tensor")
        repeats = repeated_blocks(plan.repeating, 1 - plan.target, plan.holders)
        check_repeated(source.tensors, repeats)
    if plan.made:
        check_cast_library("what the map makes")
        check_made(source.tensors, plan.made)
    return count_nonzero(source.tensors, plan.paddings)


def _chosen(converter: Converter, choices: Mapping[str, Any]) -> list[str]:
    """The variants that an alternative is asked for."""
    return [name for name in converter.variants if choices.get(name) is not None]


def _check_variants(
    converter: Converter, choices: Mapping[str, Any], config: Any
) -> None:
    """ConversionError for an alternative that is asked for and that the source's names deny."""
    for name in _chosen(converter, choices):
        if getattr(config, name) != choices[name]:
            raise ConversionError(
                f"{name}: {choices[name]} is asked for, the source has the names of {getattr(config, name)}; "
                "leave it out, it is read off the names"
            )
