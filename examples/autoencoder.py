"""An autoencoder under data and model parallelism; by layer, its encoder is one worker's and its decoder the other's.

`parallel.assert_equivalent` is the whole proof as one call: it trains in one process and in each layout, compares the
gradients of the first step, all losses and all parameters, and raises an error that names the first layer whose output
or gradient differs. By component, transposed convolutions stay whole on every rank.
"""

from minipar import data, manual_seed, nn, optim, parallel, tensor
from minipar.nn import functional as F


def autoencoder():
    manual_seed(0)
    encoder = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.Tanh()
    decoder = nn.ConvTranspose2d(4, 8, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1), nn.Sigmoid()
    return nn.Sequential(*encoder, *decoder).double()


def held(comm, layout, options):
    net = parallel.Layout.parse(layout).parallelize(autoencoder(), comm, **options)
    return [f"{name} {'×'.join(map(str, p.shape))}" for name, p in net.named_parameters() if "weight" in name]


images = tensor(data.load("digits").x_train[:51]).double()
layouts = {"data=2": {}, "pipeline=2,microbatches=4": {"cut": [4]}, "tensor=2": {}, "space=2": {}}
differences = parallel.assert_equivalent(
    autoencoder(), (images, images), F.mse_loss, lambda parameters: optim.SGD(parameters, lr=0.5), layouts, steps=10
)
for layout, options in layouts.items():
    print(f"{layout}: losses, gradients and parameters differ from one process's by {differences[layout]:.1g}")
    for rank, weights in enumerate(parallel.launch(held, layout, options, workers=2, backend="thread")):
        print(f"  rank {rank} holds {', '.join(weights)}")
