"""The kernel for few bits against torch's codecs, bit for bit."""

import numpy as np
import pytest
import torch
from numba import njit

from ravine.core.errors import SettingError
from ravine.kernels import _coded_bits as bits
from ravine.kernels._coded import coded_kernel, coded_plan
from ravine.kernels._coded_layout import BLOCK, Coding, seeds
from ravine.optim._precision_codecs import decode, dither, encode, noise
from ravine.rules import get_rule, modifiers

SEED = 0xDEADBEEF


@njit
def nearest(values, halves):
    for i in range(values.size):
        halves[i] = bits.code(bits.nearest(values[i]))


@njit
def dithered(values, seed, halves):
    for i in range(values.size):
        hashed = bits.hashed(bits.number(i, seed))
        halves[i] = bits.code(bits.dithered(values[i], bits.low(hashed)))


@njit
def hashes(seed, low, high):
    number = bits.number(0, seed)
    for i in range(low.size):
        low[i] = bits.low(bits.hashed(number))
        high[i] = bits.high(bits.hashed(number))
        number = bits.onward(number)


@njit
def blocks(values, seed, shift, codec, codes, exponents):
    start = bits.number(0, seed)
    if codec == "linear":
        bits.encode_linear(values, start, shift, codes, exponents)
    else:
        bits.encode_root(values, start, shift, codes, exponents)


def every_kind():
    """Return float32 of all exponents, subnormal, infinite and NaN of odd payloads."""
    patterns = np.random.default_rng(0).integers(0, 2**32, 2**18, dtype=np.uint32)
    special = [0, 0x80000000, 1, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FFFFFFF, 0xFFFFFFFF]
    ties = [0x3F808000, 0x3F818000, 0xBF808000, 0x00008000]
    return np.concatenate([patterns, np.array(special + ties, np.uint32)]).view(np.float32)


def same_halves(found, expected):
    expected = expected.view(torch.int16).numpy().view(np.uint16)
    is_nan = (expected & 0x7FFF) > 0x7F80
    np.testing.assert_array_equal(found[~is_nan], expected[~is_nan])
    assert ((found[is_nan] & 0x7FFF) > 0x7F80).all()


def quiet(values):
    """Leave out signalling NaN, which arithmetic never returns."""
    found = values.view(np.uint32) & 0x7FFFFFFF
    return values[(found <= 0x7F800000) | (found >= 0x7FC00000)]


def test_rounding_to_nearest_is_torchs():
    values = quiet(every_kind())
    found = np.zeros(values.size, np.uint16)
    nearest(values, found)
    same_halves(found, torch.from_numpy(values).to(torch.bfloat16))


def test_stochastic_rounding_is_the_reference():
    values = quiet(every_kind())
    found = np.zeros(values.size, np.uint16)
    dithered(values, np.uint32(SEED), found)
    tensor = torch.from_numpy(values)
    same_halves(found, dither(tensor, noise(SEED, 0, tensor)))


def test_hashes_are_the_reference():
    low, high = np.zeros((2, 70_000), np.int64)
    hashes(np.uint32(SEED), low, high)
    like = torch.zeros(70_000)
    np.testing.assert_array_equal(low, noise(SEED, 0, like).numpy())
    np.testing.assert_array_equal(high, noise(SEED, 1, like).numpy())


def hard_blocks():
    """Return blocks of all magnitudes, with zeros, spoiled ones and a short one."""
    values = torch.randn(40 * BLOCK + 19, generator=torch.Generator().manual_seed(0))
    values *= torch.exp(3 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1)))
    for block, factor in enumerate([0.0, 1e-42, 1e-38, 1e-33, 1e-20, 1e20, 1e34]):
        values[block * BLOCK : (block + 1) * BLOCK] *= factor
    values[8 * BLOCK + 3], values[9 * BLOCK + 4] = float("nan"), float("-inf")
    values[10 * BLOCK] = 1.984375 * 2.0**9  # the largest value of its exponent with a code
    values[11 * BLOCK] = 1.984375 * 2.0**9 * (1 + 2.0**-22)
    return values


@pytest.mark.parametrize("codec", ["linear", "root"])
@pytest.mark.parametrize("half", [0, 1])
def test_blocks_are_the_reference(codec, half):
    values = hard_blocks() if codec == "linear" else hard_blocks().abs()
    codes, exponents = encode(codec, values, noise(SEED, half, values))
    found = np.zeros_like(codes.numpy()), np.zeros_like(exponents.numpy())
    blocks(values.numpy(), np.uint32(SEED), np.uint32(16 * half), codec, *found)
    np.testing.assert_array_equal(found[0], codes.numpy())
    np.testing.assert_array_equal(found[1], exponents.numpy())
    decoded = np.zeros(values.numel(), np.float32)
    getattr(bits, f"decode_{codec}")(*found, decoded)
    np.testing.assert_array_equal(decoded, decode(codec, codes, exponents).numpy())


def test_seeds_are_splitmix():
    # The first outputs of the generator started at 0 (Vigna's splitmix64.c), upper halves.
    stride = 0x9E3779B97F4A7C15
    counters = np.array([k * stride % 2**64 for k in (1, 2, 3)], np.uint64)
    assert seeds(counters, 1)[:, 0].tolist() == [0xE220A839, 0x6E789E6A, 0x06C45D18]


@pytest.mark.parametrize("codecs", [("bfloat16", "bfloat16"), ("linear", "root")])
def test_threads_change_nothing(codecs):
    rule, length = get_rule("adam"), 3 * 32 * 1024 + 77
    rng, found = np.random.default_rng(0), []
    weights, gradients = rng.normal(size=(2, length)).astype(np.float32)
    rows = np.array([[1.0, *rule.hypers.values()]])
    compiled = coded_kernel(rule, Coding("float32", codecs))
    for threads in (2, 1):
        torch.set_num_threads(threads)
        arrays = [weights.copy(), gradients]
        arrays += [np.zeros(length, np.uint16) for _ in compiled.columns[2:]]
        table = np.array([[a.ctypes.data for a in arrays]])
        counters = np.array([SEED], np.uint64)
        compiled(table, rows, np.zeros((1, 0)), counters, coded_plan(compiled, [length]))
        found.append(arrays)
    for parallel, serial in zip(*found, strict=True):
        np.testing.assert_array_equal(parallel, serial)


def test_a_rule_with_sums_is_refused():
    clipped = modifiers.clip_global_norm(get_rule("adam"))
    with pytest.raises(SettingError, match="must be elementwise"):
        coded_kernel(clipped, Coding("float32", ("bfloat16", "bfloat16")))
