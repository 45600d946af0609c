"""Sparse variational dropout for Chainer: the public names, each found on first use."""

from typing import TYPE_CHECKING, Any

from vdprune import chainer_compat as _chainer_compat
from vdprune.version import __version__ as __version__

if TYPE_CHECKING:
    from vdprune.archs import build_arch as build_arch
    from vdprune.chain import VariationalDropoutChain as VariationalDropoutChain
    from vdprune.chain_evaluation import evaluate as evaluate
    from vdprune.checkpoint import load_checkpoint as load_checkpoint
    from vdprune.checkpoint import save_checkpoint as save_checkpoint
    from vdprune.conversion import named_variational_links as named_variational_links
    from vdprune.conversion import to_cpu_sparse as to_cpu_sparse
    from vdprune.conversion import to_variational_dropout as to_variational_dropout
    from vdprune.datasets import load_dataset as load_dataset
    from vdprune.devices import get_device as get_device
    from vdprune.errors import VdpruneError as VdpruneError
    from vdprune.export import build_chain as build_chain
    from vdprune.export import export_chain as export_chain
    from vdprune.export import export_onnx as export_onnx
    from vdprune.export import export_weights as export_weights
    from vdprune.formats import load_weights as load_weights
    from vdprune.links import VariationalDropoutConvolution2D as VariationalDropoutConvolution2D
    from vdprune.links import VariationalDropoutLinear as VariationalDropoutLinear
    from vdprune.objective import Distillation as Distillation
    from vdprune.pruning import prune as prune
    from vdprune.threads import limited_threads as limited_threads
    from vdprune.training.adam import Adam as Adam
    from vdprune.training.batches import ArrayBatches as ArrayBatches
    from vdprune.training.batches import RowIterator as RowIterator
    from vdprune.training.extensions import Compaction as Compaction
    from vdprune.training.multi_step import MultiStepUpdater as MultiStepUpdater

_HOMES = {
    "Adam": "vdprune.training.adam",
    "ArrayBatches": "vdprune.training.batches",
    "Compaction": "vdprune.training.extensions",
    "Distillation": "vdprune.objective",
    "MultiStepUpdater": "vdprune.training.multi_step",
    "RowIterator": "vdprune.training.batches",
    "VariationalDropoutChain": "vdprune.chain",
    "VariationalDropoutConvolution2D": "vdprune.links",
    "VariationalDropoutLinear": "vdprune.links",
    "VdpruneError": "vdprune.errors",
    "build_arch": "vdprune.archs",
    "build_chain": "vdprune.export",
    "evaluate": "vdprune.chain_evaluation",
    "export_chain": "vdprune.export",
    "export_onnx": "vdprune.export",
    "export_weights": "vdprune.export",
    "get_device": "vdprune.devices",
    "limited_threads": "vdprune.threads",
    "load_checkpoint": "vdprune.checkpoint",
    "load_dataset": "vdprune.datasets",
    "load_weights": "vdprune.formats",
    "named_variational_links": "vdprune.conversion",
    "prune": "vdprune.pruning",
    "save_checkpoint": "vdprune.checkpoint",
    "to_cpu_sparse": "vdprune.conversion",
    "to_variational_dropout": "vdprune.conversion",
}

__all__ = ["__version__", *_HOMES]

_chainer_compat.install()


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vdprune' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
