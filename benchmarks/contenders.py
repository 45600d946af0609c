"""Who is timed."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.networks import Network

OURS = "vdprune"
FLOOR = "floor"
PEERS = ("cplxmodule eager", "cplxmodule compiled", "pytorch-ard eager", "pytorch-ard compiled")

# What may make a peer faster, or slower, depending on network and machine: tried out before it is timed.
CHANNELS_LAST = "channels last"
MAX_AUTOTUNE = "max_autotune"
EAGER_RANDOM = "random numbers of eager mode"
TUNINGS = (CHANNELS_LAST, MAX_AUTOTUNE, EAGER_RANDOM)

_PEERS_MODULES = {"torch": "torch", "cplxmodule": "cplxmodule", "pytorch-ard": "torch_ard"}
# Where they are set, NumPy's OpenBLAS takes another kernel or cuts matrices otherwise than by itself.
_SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass(frozen=True)
class Contender:
    """Someone who is timed, in a process of its own.

    Args:
        name: What the table says.
        worker: What the worker runs: OURS, FLOOR or one of PEERS.
        unset: Variables that its process does not get from our environment.
    """

    name: str
    worker: str
    unset: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its process."""
        return {name: value for name, value in os.environ.items() if name not in self.unset}


def list_contenders(environment: Mapping[str, str] = os.environ) -> list[Contender]:
    """List who is timed.

    Args:
        environment: Ours; where it sets OPENBLAS_CORETYPE, vdprune is timed without, too.

    Returns:
        vdprune first, then its peers and the floor.
    """
    ours = [Contender(OURS, OURS)]
    if "OPENBLAS_CORETYPE" in environment:
        ours.append(Contender(f"{OURS} without OPENBLAS_CORETYPE", OURS, _SLOWING))
    return [*ours, *(Contender(name, name) for name in (*PEERS, FLOOR))]


def list_tunings(contender: Contender, network: Network) -> list[str]:
    """List what is to be tried out.

    Args:
        contender: Who is timed.
        network: On what.

    Returns:
        Those of TUNINGS that can change anything.
    """
    if contender.worker not in PEERS:
        return []
    tunings = [CHANNELS_LAST] if network.has_convolutions else []
    if contender.worker.endswith(" compiled"):
        tunings += [MAX_AUTOTUNE, EAGER_RANDOM]
    return tunings


def missing_peers() -> list[str]:
    """Name the packages among the peers that are not installed."""
    return [
        package
        for package, module in _PEERS_MODULES.items()
        if importlib.util.find_spec(module) is None
    ]
