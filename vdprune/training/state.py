"""All of a run in progress that a resumed one needs to end where it would have ended."""

import h5py
import numpy
from chainer import Optimizer, get_device
from chainer.dataset import Iterator
from chainer.serializers import HDF5Deserializer, HDF5Serializer

from vdprune.training.extensions import Compaction, EpochLog


def save_state(
    group: h5py.Group,
    optimizer: Optimizer,
    compaction: Compaction,
    iterator: Iterator,
    log: EpochLog,
    iteration: int,
) -> None:
    """Write the state of a run.

    Args:
        group: Where to; empty.
        optimizer: The optimizer, its network at its whole size.
        compaction: The extension that makes it smaller.
        iterator: The iterator over the training examples.
        log: The extension that takes the means of the epoch so far.
        iteration: Training steps done.
    """
    group.attrs["iteration"] = iteration
    group.attrs["epoch"] = iterator.epoch
    fixed = group.create_group("fixed_log_alpha")
    for name, link in optimizer.target.named_variational_links():
        if link.fixed is not None:
            fixed.create_dataset(name, data=get_device("@numpy").send(link.fixed.log_alpha))
    HDF5Serializer(group.create_group("optimizer"), None).save(optimizer)
    HDF5Serializer(group.create_group("compaction"), None).save(compaction)
    HDF5Serializer(group.create_group("iterator"), None).save(iterator)
    HDF5Serializer(group.create_group("log"), None).save(log)
    _, keys, position, has_gauss, cached_gaussian = numpy.random.get_state()
    random_state = group.create_group("random_state")
    random_state.create_dataset("keys", data=keys)
    random_state.attrs["position"] = position
    random_state.attrs["has_gauss"] = has_gauss
    random_state.attrs["cached_gaussian"] = cached_gaussian


def load_state(
    group: h5py.Group,
    optimizer: Optimizer,
    compaction: Compaction,
    iterator: Iterator,
    log: EpochLog,
) -> int:
    """Bring a run back to where it was; NumPy's global random state included.

    Args:
        group: What `save_state` wrote.
        optimizer: The optimizer, set up.
        compaction: The extension.
        iterator: The iterator.
        log: The extension, new.

    Returns:
        Training steps done.
    """
    for name, link in optimizer.target.named_variational_links():
        if name in group["fixed_log_alpha"]:
            link.fix_log_alpha(link.device.send(group["fixed_log_alpha"][name][...]))
    HDF5Deserializer(group["optimizer"]).load(optimizer)
    HDF5Deserializer(group["compaction"]).load(compaction)
    HDF5Deserializer(group["iterator"]).load(iterator)
    HDF5Deserializer(group["log"]).load(log)
    random_state = group["random_state"]
    numpy.random.set_state(
        (
            "MT19937",
            random_state["keys"][...],
            int(random_state.attrs["position"]),
            int(random_state.attrs["has_gauss"]),
            float(random_state.attrs["cached_gaussian"]),
        )
    )
    return int(group.attrs["iteration"])
