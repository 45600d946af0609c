"""Chainer's MNIST example with variational dropout layers: nothing but the model is new.

python examples/train_mnist.py            sparse
python examples/train_mnist.py --dense    the same network with Chainer's own layers
"""

import argparse

import vdprune  # before chainer: it makes Chainer work on today's Python and NumPy

# isort: split
import chainer
import chainer.functions as F
import chainer.links as L
import numpy
from chainer import training
from chainer.training import extensions


class MLP(vdprune.VariationalDropoutChain):
    """LeNet-300-100."""

    def __init__(self, linear, **kwargs):
        super().__init__(**kwargs)
        with self.init_scope():
            self.l1 = linear(None, 300)
            self.l2 = linear(None, 100)
            self.l3 = linear(None, 10)

    def forward(self, x):
        h = F.relu(self.l1(x))
        h = F.relu(self.l2(h))
        return self.l3(h)


def load_mnist(examples):
    """Images as float32 minus the mean training image, as two of Chainer's data sets."""
    mnist = vdprune.load_dataset("mnist")
    mean = mnist.train.x.mean(axis=0) / 256
    train, test = (
        chainer.datasets.TupleDataset(
            (split.x[:examples] / 256 - mean).astype(numpy.float32), split.t[:examples]
        )
        for split in (mnist.train, mnist.test)
    )
    return train, test


def main():
    """Train, and report as Chainer's example does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dense", action="store_true", help="use Chainer's own layers")
    parser.add_argument("--batchsize", type=int, default=100)
    parser.add_argument("--epoch", type=int, default=20)
    parser.add_argument("--examples", type=int, help="use only so many images")
    parser.add_argument("--device", default="@numpy")
    parser.add_argument("--out", default="result")
    args = parser.parse_args()
    device = chainer.get_device(args.device)
    device.use()
    numpy.random.seed(0)

    train, test = load_mnist(args.examples)
    linear = L.Linear if args.dense else vdprune.VariationalDropoutLinear
    model = MLP(linear, warm_up=1e-4, num_train=len(train))
    model.to_device(device)
    optimizer = chainer.optimizers.Adam()
    optimizer.setup(model)

    train_iter = chainer.iterators.SerialIterator(train, args.batchsize)
    test_iter = chainer.iterators.SerialIterator(test, args.batchsize, repeat=False, shuffle=False)
    updater = training.StandardUpdater(
        train_iter, optimizer, device=device, loss_func=model.calc_loss
    )
    trainer = training.Trainer(updater, (args.epoch, "epoch"), out=args.out)
    trainer.extend(extensions.Evaluator(test_iter, L.Classifier(model), device=device))
    steps = args.epoch * len(train) // args.batchsize
    trainer.extend(
        extensions.LinearShift("alpha", (1e-3, 0.0), (steps // 2, steps)), trigger=(1, "iteration")
    )
    trainer.extend(extensions.snapshot(filename="snapshot_epoch_{.updater.epoch}"))
    trainer.extend(extensions.LogReport())
    columns = ["epoch", "main/loss", "main/class", "main/kl", "main/kl_coef", "main/accuracy"]
    columns += ["validation/main/accuracy"]
    if not args.dense:
        columns += ["main/mean_p", "main/sparsity", "main/W/Wnz"]
    trainer.extend(extensions.PrintReport([*columns, "elapsed_time"]))
    trainer.run()


if __name__ == "__main__":
    main()
