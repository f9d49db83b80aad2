"""DeepOBS's published results on `quadratic_deep`, reproduced by the command that users type.

Schneider, Balles & Hennig 2019, arXiv:1903.05499: final test loss over 10 seeds, mean and
standard deviation.
"""

import math

import pandas as pd
import pytest
from typer.testing import CliRunner

from ravine.cli._app import app

PUBLISHED = {"sgd": (0.015849, 87.397, 0.169), "adam": (0.039811, 87.112, 0.024)}
SEEDS = 10


@pytest.mark.parametrize("name", PUBLISHED)
def test_ten_seeds_reproduce_the_published_test_loss(name, tmp_path):
    lr, mean, deviation = PUBLISHED[name]
    out = tmp_path / "study"
    options = f"--problem quadratic_deep --optimizers {name} --lr {lr} --seeds {SEEDS} --no-confirm"
    done = CliRunner().invoke(app, ["compare", *options.split(), "--out", str(out)])
    assert done.exit_code == 0, done.output
    losses = pd.read_parquet(out / "trials.parquet")["test_loss"]
    assert len(losses) == SEEDS
    # Seeds of other software are other seeds: two means of ten, each with its own deviation.
    spread = math.hypot(deviation, losses.std()) / math.sqrt(SEEDS)
    assert abs(losses.mean() - mean) < 3 * spread
    assert losses.std() < 2 * deviation
