"""What a full check holds at once, counted from every storage that lives."""

import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ravine.gradients import check, numeric_gradient
from ravine.gradients._points import MEMORY, _fitting, _Watched


class Live(TorchDispatchMode):
    """Adds up the storages that operations make, from when they are made until they are freed."""

    def __init__(self):
        super().__init__()
        self.now, self.peak, self._known = 0, 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, torch.Tensor):
                self._count(one.untyped_storage())
        return made

    def _count(self, storage):
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            size = storage.nbytes()
            weakref.finalize(storage, self._gone, key, size)
            self.now += size
            self.peak = max(self.peak, self.now)

    def _gone(self, key, size):
        self._known.discard(key)
        self.now -= size


def peak(work):
    with Live() as live:
        work()
    return live.peak


def test_the_count_falls_when_tensors_are_freed():
    def work():
        for _ in range(5):
            torch.ones(1000).view(10, 100)
        kept = torch.ones(1000)
        view = kept[:10]
        del kept
        torch.ones(500)
        return view

    # The views do not count, and hold what they look at.
    assert peak(work) == 1500 * 4


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make()


def mlp():
    return nn.Sequential(nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 4),
    )


@pytest.mark.parametrize(
    ("make", "shape", "sample"), [(mlp, (512, 64), 40), (cnn, (32, 2, 16, 16), 40)]
)
def test_a_check_keeps_to_four_passes_and_its_bound(make, shape, sample):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    y = torch.randint(4, shape[:1], generator=generator)
    model = seeded(make).double()
    passes = peak(lambda: F.cross_entropy(model(x), y).backward())
    model.zero_grad()
    held = peak(lambda: check(model, F.cross_entropy, (x, y), sample=sample))
    # The bound is used: points do go together.
    assert 4 * passes < held <= 4 * passes + MEMORY


def test_a_numeric_gradient_keeps_to_its_bound():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 50, generator=generator, dtype=torch.float64)
    w = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    once = peak(lambda: torch.tanh(x @ w).sum())
    held = peak(lambda: numeric_gradient(lambda w: torch.tanh(x @ w).sum(), w))
    assert 4 * once < held <= 4 * once + MEMORY


def test_a_convolutions_patches_count():
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    kernel = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    with _Watched() as watched:
        F.conv2d(x, kernel)
    output, patches = 5 * 4 * 6 * 6 * 8, 5 * 6 * 6 * (3 * 3 * 3) * 8
    assert watched.moments == [output + patches]


def test_as_many_points_fit_as_the_fullest_moment_allows():
    # 1, 2 and 3 MiB are shared at three moments, and each point adds 1, 2 and nothing.
    shared, each = (1, 2, 3), (1, 2, 0)
    two, three = ([(s + n * e) * 2**20 for s, e in zip(shared, each, strict=True)] for n in (2, 3))
    fitting = _fitting(two, three)
    assert fitting == (MEMORY // 2**20 - 2) // 2


def test_where_moments_differ_points_share_the_fullest():
    assert _fitting([1, 2], [1, 2, 3 * 2**20]) == MEMORY // 2**20
