"""Correct models of many kinds: none of them may be called wrong."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.gradients.edges import Coarse, Normalised, PowerAtZero, padded


def seeded(make, *arguments, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return make(*arguments, **keywords)


def vectors(rows=6, width=8, classes=4):
    g = torch.Generator().manual_seed(1)
    return torch.randn(rows, width, generator=g), torch.randint(classes, (rows,), generator=g)


def images(rows=4, channels=2, size=8, classes=3):
    g = torch.Generator().manual_seed(2)
    x = torch.randn(rows, channels, size, size, generator=g)
    return x, torch.randint(classes, (rows,), generator=g)


def words(rows=5, length=7, vocabulary=11, classes=3):
    g = torch.Generator().manual_seed(3)
    return (
        torch.randint(vocabulary, (rows, length), generator=g),
        torch.randint(classes, (rows,), generator=g),
    )


def hinge(s, y):
    margins = s - s.gather(1, y[:, None]) + 1
    return margins.scatter(1, y[:, None], 0.0).relu().sum(1).mean()


def blank(batch):
    """Make half of every image blank, so that ReLUs and maxima are exactly at their kinks."""
    x, y = batch
    x[..., :5] = 0
    return x, y


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.out(x + self.b(F.relu(self.a(x))))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(11, 6), nn.Linear(6, 6)
        self.out = nn.Linear(6, 11, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x):
        return self.out(torch.tanh(self.mix(self.embed(x)))).mean(1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.block(self.embed(x)).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embed, self.cell, self.out = (
            nn.Embedding(11, 5),
            kind(5, 6, batch_first=True),
            nn.Linear(6, 3),
        )

    def forward(self, x):
        return self.out(self.cell(self.embed(x))[0][:, -1])


class Two(nn.Module):
    """Two inputs by keyword, one of them a mask of integers."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 6), nn.Bilinear(6, 3, 4)

    def forward(self, x, z, mask):
        return self.b(torch.sin(self.a(x)), z) * mask


class Seeded(nn.Module):
    """Noise from NumPy, which torch's seed does not hold."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 4)

    def forward(self, x):
        return self.a(x) * (1 + 0.1 * float(np.random.rand()))  # noqa: NPY002 - what users write


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
            nn.Tanh(),
            nn.utils.parametrizations.spectral_norm(nn.Linear(8, 4)),
        )

    def forward(self, x):
        return self.body(x)


CLASS_WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 0.3])


def cnn(*middle):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), *middle, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    )


def zero_bias(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return model


def at_margin():
    """A layer whose scores for inputs of 0 have all margins of class 0 exactly at 0."""
    layer = nn.Linear(8, 4)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    return layer


def two_batch():
    x, y = vectors()
    g = torch.Generator().manual_seed(4)
    return {"x": x, "z": torch.randn(6, 3, generator=g), "mask": torch.ones(6, 4).long()}, y


ce = F.cross_entropy
CORRECT = {
    "linear, softmax": (lambda: nn.Linear(8, 4), ce, vectors()),
    "linear, hinge": (lambda: nn.Linear(8, 4), hinge, vectors()),
    "linear, hinge at its margin": (at_margin, hinge, (torch.zeros(6, 8), torch.zeros(6).long())),
    "mlp, relu": (
        lambda: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4)),
        ce,
        vectors(),
    ),
    "mlp, gelu, mse": (
        lambda: nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)),
        F.mse_loss,
        (vectors()[0], torch.ones(6, 4)),
    ),
    "mlp, leaky relu, l1": (
        lambda: nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(), nn.Linear(16, 4)),
        F.l1_loss,
        (vectors()[0], torch.ones(6, 4)),
    ),
    "dropout": (
        lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 4)),
        ce,
        vectors(),
    ),
    "numpy noise": (Seeded, ce, vectors()),
    "cnn, max-pool": (lambda: cnn(nn.ReLU()), ce, images()),
    "cnn on blank images, biases 0": (lambda: zero_bias(cnn(nn.ReLU())), ce, blank(images())),
    "batch norm, training": (lambda: cnn(nn.BatchNorm2d(4), nn.ReLU()), ce, images()),
    "batch norm, evaluation": (lambda: cnn(nn.BatchNorm2d(4), nn.ReLU()).eval(), ce, images()),
    "group norm": (lambda: cnn(nn.GroupNorm(2, 4), nn.ReLU()), ce, images()),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.SiLU(), nn.Linear(16, 4)),
        ce,
        vectors(),
    ),
    "instance norm, dropout2d": (
        lambda: cnn(nn.InstanceNorm2d(4, affine=True), nn.Dropout2d(0.3), nn.ReLU()),
        ce,
        images(),
    ),
    "transposed convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(3, 2, 3, stride=2),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(18, 3),
        ),
        ce,
        images(),
    ),
    "residual": (Residual, ce, vectors()),
    "tied embedding": (Tied, ce, (words()[0], torch.tensor([1, 10, 4, 0, 7]))),
    "attention": (Attention, ce, words()),
    "lstm": (lambda: Recurrent(nn.LSTM), ce, words()),
    "gru": (lambda: Recurrent(nn.GRU), ce, words()),
    "embedding bag": (
        lambda: nn.Sequential(nn.EmbeddingBag(11, 6), nn.ReLU(), nn.Linear(6, 3)),
        ce,
        words(),
    ),
    "embedding, padding": (lambda: padded(nn.Embedding), ce, words()),
    "embedding bag, padding": (lambda: padded(nn.EmbeddingBag), ce, words()),
    "loss with weights of its own": (
        lambda: nn.Linear(8, 4),
        lambda s, y: F.cross_entropy(s, y, weight=CLASS_WEIGHTS),
        vectors(),
    ),
    "power at the edge of its domain": (PowerAtZero, F.mse_loss, (vectors()[0], torch.ones(6, 4))),
    "normalised rows, one of zeros": (
        Normalised,
        ce,
        (vectors()[0] * torch.arange(6)[:, None], vectors()[1]),
    ),
    "rounded to bfloat16 inside": (Coarse, ce, vectors(64)),
    "log-softmax, nll": (
        lambda: nn.Sequential(nn.Linear(8, 4), nn.LogSoftmax(-1)),
        F.nll_loss,
        vectors(),
    ),
    "softmax, own logarithm": (
        lambda: nn.Sequential(nn.Linear(8, 4), nn.Softmax(-1)),
        lambda p, y: -p.gather(1, y[:, None]).log().mean(),
        vectors(),
    ),
    "weighted loss module": (
        lambda: nn.Linear(8, 4),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3, 4])),
        vectors(),
    ),
    "weight and spectral norm": (lambda: Normed().eval(), ce, vectors()),
    "inputs by keyword": (Two, ce, two_batch()),
    "double": (lambda: nn.Linear(8, 4).double(), ce, (vectors()[0].double(), vectors()[1])),
    "deep narrow": (
        lambda: nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(8, 8), nn.ELU())]),
        ce,
        vectors(classes=8),
    ),
    "wide relu": (
        lambda: nn.Sequential(nn.Linear(8, 2000), nn.ReLU(), nn.Linear(2000, 4)),
        ce,
        vectors(),
    ),
}
