"""Codecs: what they can hold they keep, and rounding is right on average."""

import math

import numpy as np
import pytest
import torch

from ravine.kernels._coded_layout import BLOCK, seeds
from ravine.optim._precision_codecs import decode, dither, encode, noise

COUNT = 2**17


def stored(codec, values, seed=1):
    """Return values as they come back after stochastic rounding."""
    random = None if seed is None else noise(seed, seed % 2, values)
    if codec == "bfloat16":
        return values.to(torch.bfloat16) if random is None else dither(values, random).float()
    return decode(codec, *encode(codec, values, random))


def neighbours(codec, value, top):
    """Return the two values of a codec around one in a block with the given largest value."""
    if codec == "bfloat16":
        step = 2.0 ** (math.floor(math.log2(value)) - 7)
        return math.floor(value / step) * step, (math.floor(value / step) + 1) * step
    scale = 2.0**-20
    while top > (127 if codec == "linear" else 1.984375 * 2**15) * scale:
        scale *= 2
    if codec == "linear":
        return math.floor(value / scale) * scale, (math.floor(value / scale) + 1) * scale
    root = math.floor(math.sqrt(value / scale))
    return root**2 * scale, (root + 1) ** 2 * scale


@pytest.mark.parametrize("codec", ["bfloat16", "linear", "root"])
@pytest.mark.parametrize("value", [0.9173, 0.0301, 0.5004])
def test_rounding_is_unbiased(codec, value):
    values = torch.full((COUNT,), value)
    values[::BLOCK] = 1.0  # every block has the same largest value, which is exact
    value = float(values[1])
    below, above = neighbours(codec, value, 1.0)
    found = stored(codec, values)[values != 1.0].double()
    assert set(found.unique().tolist()) == {below, above}
    chance, n = (value - below) / (above - below), found.numel()
    ups = int((found == above).sum())
    assert abs(ups - n * chance) < 5 * math.sqrt(n * chance * (1 - chance))


@pytest.mark.parametrize("codec", ["bfloat16", "linear", "root"])
def test_to_nearest_is_off_by_half_a_step_at_most(codec):
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    values[::BLOCK] = 1.0
    for value, found in zip(values.tolist(), stored(codec, values, None).tolist(), strict=True):
        below, above = neighbours(codec, value, 1.0)
        nearer = below if value - below < above - value else above
        if codec == "root":  # the nearer in the value, not in its root
            assert found in (below, above)
        assert found == pytest.approx(nearer, abs=1e-6) or abs(value - (below + above) / 2) < 1e-6


@pytest.mark.parametrize("codec", ["bfloat16", "linear", "root"])
def test_what_a_codec_can_hold_never_moves(codec):
    codes = {"linear": torch.arange(-127, 128)}.get(codec, torch.arange(255)).float()
    held = (codes**2 if codec == "root" else codes) * 2.0**-9
    for seed in range(1, 20):
        assert torch.equal(stored(codec, held, seed), held)


def test_a_positive_mean_square_keeps_a_quarter_of_its_value_and_never_becomes_0():
    # With y = v / scale and c = floor(sqrt(y)): for y < 1 the code is 1 and v' = scale > v; else it
    # is c or c + 1, so v' / v >= (c / sqrt(y))^2 > (c / (c + 1))^2 >= 1/4, and v' / v <= 4. So a
    # step divided by the root is at most twice as long as it would be.
    chance = torch.Generator().manual_seed(0)
    values = torch.exp(30 * torch.rand(COUNT, generator=chance) - 40)
    values[::5] = torch.tensor([1e-45, 1e-38, 1e-30])[torch.arange(0, COUNT, 5) % 3]
    values[7::BLOCK] = 0
    found = stored("root", values)
    assert torch.equal(found == 0, values == 0)
    assert (found >= values / 4).all()
    tops = values.view(-1, BLOCK).amax(1, keepdim=True)
    scales = (tops / 65024 * 2).clamp(min=2.0**-120).expand(-1, BLOCK).reshape(-1)
    assert (found <= torch.maximum(4 * values, scales)).all()


def test_linear_codes_of_mean_squares_would_lose_small_ones():
    values = torch.full((BLOCK,), 1e-4)
    values[0] = 1.0
    assert (stored("linear", values)[1:] == 0).any() and (stored("root", values) > 0).all()


@pytest.mark.parametrize("codec", ["linear", "root"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_block_with_a_value_that_is_not_finite_becomes_nan(codec, bad):
    exact = 127.0 if codec == "linear" else 254.0**2
    values = torch.full((3 * BLOCK,), exact)
    values[BLOCK + 5] = bad
    found = stored(codec, values).view(3, BLOCK)
    assert found[1].isnan().all() and (found[[0, 2]] == exact).all()


@pytest.mark.parametrize("codec", ["linear", "root"])
@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_any_length(codec, length):
    values = torch.linspace(0.25, 1, length)
    codes, exponents = encode(codec, values, None)
    assert codes.numel() == length and exponents.numel() == -(-length // BLOCK)
    torch.testing.assert_close(decode(codec, codes, exponents), values, rtol=0, atol=2.0**-7)


def test_random_bits_are_uniform_and_independent():
    like = torch.zeros(2**18)
    seeded = seeds(np.array([5, 2**40, 2**64 - 2**50], np.uint64), 2).flatten().tolist()
    streams = [noise(seed, half, like).double() / 2**16 for seed in seeded for half in (0, 1)]
    shifted = [streams[0].roll(lag) for lag in (1, 2, 16, 256, 784)]
    table = torch.corrcoef(torch.stack(streams + shifted))
    assert (table - torch.eye(len(table))).abs().max() < 5 / math.sqrt(like.numel())
    for stream in streams:
        counts = torch.histc(stream, 256, 0, 1)
        expected = like.numel() / 256
        statistic = float(((counts - expected) ** 2 / expected).sum())
        assert abs(statistic - 255) < 5 * math.sqrt(2 * 255)


def test_random_bits_of_one_weight_are_independent_over_steps():
    # What a running mean adds up are the roundings of one weight at all steps.
    steps = np.arange(2**14).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    numbers = seeds(steps, 1)[:, 0].tolist()
    for half in (0, 1):
        found = [noise(seed, half, torch.zeros(1)) for seed in numbers]
        stream = torch.cat(found).double()
        table = torch.corrcoef(torch.stack([stream.roll(lag) for lag in range(20)]))
        assert (table[0, 1:]).abs().max() < 5 / math.sqrt(stream.numel())
