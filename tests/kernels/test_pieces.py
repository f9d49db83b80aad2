"""How weights are cut into chunks and dealt to threads."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ravine.kernels import addresses, kernel, plan
from ravine.kernels._pieces import CHUNK, LONGEST, chunk_length, lanes
from ravine.rules import get_rule


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_every_chunk_goes_to_one_lane_and_lanes_are_even(threads):
    torch.set_num_threads(threads)
    lengths = np.array([CHUNK, 4096] * 40 + [CHUNK] * 100 + [10] * 7)
    firsts = lanes(lengths, CHUNK)
    assert (firsts[0], firsts[-1]) == (0, len(lengths))
    loads = [lengths[a:b].sum() for a, b in pairwise(firsts)]
    assert len(loads) == threads
    assert max(loads) - min(loads) <= CHUNK


def test_little_work_stays_on_one_thread():
    torch.set_num_threads(4)
    assert lanes(np.array([CHUNK - 1]), CHUNK).tolist() == [0, 1]
    assert lanes(np.array([], np.int64), CHUNK).tolist() == [0, 0]


def test_a_large_tensor_in_long_chunks_is_updated_whole():
    torch.set_num_threads(2)
    count = 64 * LONGEST + 13
    assert chunk_length(count) == LONGEST
    compiled = kernel(get_rule("sgd"), torch.float32)
    w, g = torch.arange(count, dtype=torch.float32) % 1000, torch.ones(count)
    expected = w - 0.5
    table = addresses([[w], [g]])
    compiled(table, np.array([[1.0, 0.5]]), np.zeros((1, 0)), plan(compiled, [w.shape]))
    assert torch.equal(w, expected)
