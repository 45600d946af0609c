"""The networks that are run: the archs, each layer with as many weights left as pruning leaves."""

from dataclasses import dataclass, field
from typing import Any

import numpy

import vdprune
from vdprune.export.collecting import collect_chain
from vdprune.formats import Weights


@dataclass(frozen=True)
class PrunedNetwork:
    """A network with random masks.

    Args:
        name: Its arch.
        densities: Share of the weights that are left, by layer; of all others by the empty name.
        arguments: Those of the arch, for another size than its usual one.
    """

    name: str
    densities: dict[str, float]
    arguments: dict[str, Any] = field(default_factory=dict)

    def make(self) -> Weights:
        """Draw its weights, and which of them are left."""
        numpy.random.seed(0)
        random = numpy.random.default_rng(0)
        model = vdprune.build_arch(self.name, **self.arguments)
        model.to_variational_dropout()
        for name, link in model.named_variational_links():
            density = self.densities.get(name, self.densities.get("", 0.0))
            is_left = random.random(link.W.shape) < density
            link.log_sigma2.array[...] = numpy.where(is_left, -20, 20)  # whatever the weight is
        return collect_chain(model, model.scaling.mean.shape)


# 98.5 % and 99.5 % of the weights are cut in the first two, about as unevenly as training cuts them:
# RESULTS.md has the shares by layer.
NETWORKS = {
    network.name: network
    for network in (
        PrunedNetwork("lenet300", {"l1": 0.0107, "l2": 0.0367, "l3": 0.38}),
        PrunedNetwork("lenet5", {"conv1": 0.33, "conv2": 0.02, "l3": 0.003, "l4": 0.058}),
        PrunedNetwork("vgg-like", {"": 0.02}),
    )
}
