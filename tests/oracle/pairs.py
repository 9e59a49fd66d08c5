"""The recorded cases of layouts without ranks, as one conversion each: from which layout to which, by which converter.

OLMo-core, Cerebras ModelZoo, and the modules of transformers. Nothing here knows a case: folders are searched, and what
a case is, its own meta.json or config.json says.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .records import ROOT, Case, Tensors

# By what a case calls its model: the converter.
CEREBRAS = {"llama": "llama_hf_cs", "gpt2": "gpt2_hf_cs"}
OLMO = {"olmo2": "olmo2_hf_olmo", "flex_olmo": "flex_olmo_hf_olmo"}
MODULES = {"mixtral": "mixtral_hub_module"}

# Cerebras' releases since 2.1 name and cut the tensors of these models alike.
RELEASES = {f"cs-2.{minor}": "cs" for minor in range(1, 10)}

# Before release 2.0 Cerebras' names began with this.
PREFIX = "model."


@dataclass(frozen=True)
class Pair:
    """A recorded conversion from layout `source` to `target`; the configs are what was recorded, None where it was not."""

    case: Case
    converter: str
    source: str
    target: str
    source_config: dict[str, Any] | None
    target_config: dict[str, Any] | None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> ModuleType:
        return importlib.import_module(f"mapc.generated.{self.converter}")

    def config(self, layout: str) -> Any:
        """The Config, read from what was recorded of a layout, else from what the other one's says it is."""
        configs = {self.source: self.source_config, self.target: self.target_config}
        recorded = configs.pop(layout)
        if recorded is not None:
            return read(self.module, layout, recorded, self.options)
        ((other, recorded),) = configs.items()
        assert recorded is not None
        written = write(
            self.module, layout, read(self.module, other, recorded, self.options)
        )
        return read(self.module, layout, written, self.options)

    @property
    def back(self) -> Tensors:
        """The source's tensors as they come back: of two prefixes the first is written."""
        source = self.case.source
        if self.source == "cs" and all(name.startswith(PREFIX) for name in source):
            return {name[len(PREFIX) :]: tensor for name, tensor in source.items()}
        return dict(source)

    def converted(self, tensors: Tensors, to: str, config: Any) -> Tensors:
        pairs = list(getattr(self.module, f"to_{to}")(tensors, config))
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)


def read(
    module: ModuleType, layout: str, config: Mapping[str, Any], options: Any
) -> Any:
    return getattr(module.Config, f"from_{layout}")(config, **options)


def write(module: ModuleType, layout: str, config: Any) -> dict[str, Any]:
    return getattr(config, f"to_{layout}")()


def has_both_configs(pair: Pair) -> bool:
    """Whether both sides of the conversion were recorded with their configs."""
    return pair.source_config is not None and pair.target_config is not None


def every_pair(that: Callable[[Pair], bool] | None = None) -> list[Any]:
    """The recorded conversions that match, as parameters of a test; one skipped parameter where there is none."""
    found = [
        pytest.param(pair, id=pair.case.path.name)
        for pair in (*_olmo(), *_cerebras(), *_modules())
        if that is None or that(pair)
    ]
    reason = "no recorded case of OLMo-core, Cerebras or transformers (MAPC_ORACLE_DIR names their folder)"
    return found or [
        pytest.param(None, id="missing", marks=pytest.mark.skip(reason=reason))
    ]


def _folders(system: str, file: str) -> Iterator[tuple[Case, dict[str, Any]]]:
    for path in sorted(Path(ROOT, system).glob(f"*/{file}")):
        case = Case(path.parent)
        if (path.parent / "dst.safetensors").is_file():
            yield case, case.json(file)


def _olmo() -> Iterator[Pair]:
    """Only transformers' config was recorded: OLMo-core's is what the converter makes of it."""
    for case, said in _folders("neuron_olmo", "config.json"):
        model = said.get("model_type")
        if said.get("kind") == "hf<->core" and model in OLMO:
            config = {"model_type": model, **said["hf_config"]}
            if said["direction"] == "from_hf":
                yield Pair(case, OLMO[model], "hf", "olmo", config, None)
            else:
                yield Pair(case, OLMO[model], "olmo", "hf", None, config)


def _cerebras() -> Iterator[Pair]:
    names = {"hf": "hf", **RELEASES}
    for case, said in _folders("cerebras", "meta.json"):
        layouts = [names.get(said[key]) for key in ("src_fmt", "tgt_fmt")]
        if said["model"] in CEREBRAS and set(layouts) == {"hf", "cs"}:
            configs = [
                _section(case.json(f"config_{end}.json")) for end in ("src", "dst")
            ]
            yield Pair(case, CEREBRAS[said["model"]], *layouts, *configs)  # type: ignore[arg-type]


def _section(config: dict[str, Any]) -> dict[str, Any]:
    """The config with its model's section where it was before release 2.3."""
    return config["trainer"]["init"] if "trainer" in config else config


def _modules() -> Iterator[Pair]:
    for case, said in _folders("transformers", "meta.json"):
        if said.get("model_type") in MODULES and not said["known_broken"]:
            configs = (case.json("config_src.json"), case.json("config_dst.json"))
            yield Pair(case, MODULES[said["model_type"]], "hub", "module", *configs)
