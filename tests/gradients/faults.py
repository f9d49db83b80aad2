"""A small CNN with a user-written node, and the faults that can be planted in it."""

import torch
import torch.nn.functional as F
from torch import nn

BATCH, CLASSES, WIDTH = 6, 4, 16


class Product(torch.autograd.Function):
    """``x @ w + b`` with square w; `fault` names what is wrong in its backward pass."""

    @staticmethod
    def forward(ctx, x, w, b, fault):
        ctx.fault = fault
        ctx.save_for_backward(x, w)
        return x @ w + b

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        dx, dw, db = g @ w.T, x.T @ g, g.sum(0)
        match ctx.fault:
            case "sign":
                dw = -dw
            case "factor":
                dw = 2 * dw
            case "transpose":
                dx = g @ w
            case "transposed weight":
                dw = dw.T
            case "bias sum":
                db = g[0]
            case "bias mean":
                db = g.mean(0)
            case "single":
                dw = dw.clone()
                dw[3, 5] *= 1.01
            case "shape":
                dw = dw[:, :-1]
            case "count":
                return dx, dw, db
            case "none":
                dw = None
        return dx, dw, db, None


class ChannelScale(torch.autograd.Function):
    """``x * s`` with one s per channel; x [B, C, H, W]."""

    @staticmethod
    def forward(ctx, x, s, fault):
        ctx.fault = fault
        ctx.save_for_backward(x, s)
        return x * s[:, None, None]

    @staticmethod
    def backward(ctx, g):
        x, s = ctx.saved_tensors
        dx, ds = g * s[:, None, None], (g * x).sum((0, 2, 3))
        match ctx.fault:
            case "broadcast":  # B = C here, so the shape fits
                ds = (g * x).sum((1, 2, 3))
            case "neighbour":
                dx = (g * s[:, None, None]).roll(1, 1)
            case "neighbour scale":
                ds = ds.roll(1, 0)
        return dx, ds, None


class Squash(torch.autograd.Function):
    """tanh, from its saved output; a fault overwrites it."""

    @staticmethod
    def forward(ctx, x, fault):
        y = torch.tanh(x)
        ctx.save_for_backward(saved := y.clone() if fault == "overwritten" else y)
        if fault == "overwritten":
            saved.mul_(0.5)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (1 - y**2), None


class Softmax(torch.autograd.Function):
    """Softmax over the last dimension; the fault leaves the cross terms out."""

    @staticmethod
    def forward(ctx, s, fault):
        ctx.fault = fault
        p = torch.softmax(s, -1)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        if ctx.fault == "cross terms":
            return g * p * (1 - p), None
        return p * (g - (g * p).sum(-1, keepdim=True)), None


class Hinge(torch.autograd.Function):
    """Multiclass hinge loss, mean over the batch; the fault forgets the correct class."""

    @staticmethod
    def forward(ctx, s, y, fault):
        margins = (s - s.gather(1, y[:, None]) + 1).scatter(1, y[:, None], 0.0)
        ctx.fault = fault
        ctx.save_for_backward(margins, y)
        return margins.clamp(min=0).sum(1).mean()

    @staticmethod
    def backward(ctx, g):
        margins, y = ctx.saved_tensors
        d = (margins > 0).to(g.dtype)
        if ctx.fault != "hinge":
            d.scatter_(1, y[:, None], -d.sum(1, keepdim=True))
        return g * d / len(y), None, None


class Net(nn.Module):
    """Convolution, channel scale, pooling, square product, tanh, linear layer."""

    def __init__(self, fault=None):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.fault = fault
        self.conv = nn.Conv2d(1, BATCH, 3)  # as many channels as samples
        self.scale = nn.Parameter(torch.ones(BATCH))
        self.mix = nn.Linear(BATCH * 4, WIDTH)
        self.w = nn.Parameter(torch.empty(WIDTH, WIDTH))
        self.b = nn.Parameter(torch.empty(WIDTH))
        self.side = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, CLASSES)
        with torch.no_grad():
            for parameter in self.parameters():
                fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 4
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)

    def forward(self, x):
        x = ChannelScale.apply(self.conv(x), self.scale, self.fault)
        x = F.max_pool2d(F.relu(x), 3).flatten(1)
        x = torch.tanh(self.mix(x))
        x = Squash.apply(Product.apply(x, self.w, self.b, self.fault), self.fault)
        if self.fault == "overwritten later":
            x.data.mul_(0.5)  # .data: autograd's version counter does not notice
        side = torch.tanh(self.side(x.detach() if self.fault == "detach" else x))
        x = x + (side.detach() if self.fault == "detached layer" else side)
        scores = self.out(x)
        return (
            Softmax.apply(scores, self.fault)
            if self.fault in ("softmax", "cross terms")
            else scores
        )


class OwnHinge(nn.Module):
    def __init__(self, fault=None):
        super().__init__()
        self.fault = fault

    def forward(self, scores, y):
        return Hinge.apply(scores, y, self.fault)


def picked(probabilities, y):
    """Minus the mean logarithm of the right class's probability."""
    return -probabilities.gather(1, y[:, None]).log().mean()


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(BATCH, 1, 8, 8, generator=generator)
    return x, torch.randint(CLASSES, (BATCH,), generator=generator)


class Wide(nn.Module):
    """A model with a weight of 100,000 entries, one of whose gradients is wrong."""

    def __init__(self, entry=None):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.w = nn.Parameter(torch.randn(400, 250, generator=generator) / 20)
        self.entry = entry

    def forward(self, x):
        return OneWrong.apply(x, self.w, self.entry)


class OneWrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, entry):
        ctx.entry = entry
        ctx.save_for_backward(x, w)
        return torch.tanh(x @ w)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        g = g * (1 - torch.tanh(x @ w) ** 2)
        dw = x.T @ g
        if ctx.entry is not None:
            dw.view(-1)[ctx.entry] *= 1.05
        return g @ w.T, dw, None
