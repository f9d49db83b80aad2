"""Made-up but realistic study folders, written exactly as `ravine compare --out` stores them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

# name: (hyper-parameters, log10 of the best rate, decades below divergence, peak, latex)
RULES = {
    "sgd": ({"lr": 0.1}, -0.5, 1.0, 0.962, {"w": r"w - \eta g"}),
    "momentum": (
        {"lr": 0.01, "momentum": 0.9},
        -1.3,
        0.9,
        0.971,
        {"v": r"g + \mu v", "w": r"w - \eta \left(g + \mu v\right)"},
    ),
    "nesterov": (
        {"lr": 0.01, "momentum": 0.9},
        -1.2,
        1.0,
        0.972,
        {"v": r"g + \mu v", "w": r"w - \eta \left(g + \mu \left(g + \mu v\right)\right)"},
    ),
    "adagrad": (
        {"lr": 0.01, "eps": 1e-10},
        -1.5,
        9.0,
        0.964,
        {"v": "g^{2} + v", "w": r"w - \frac{\eta g}{\epsilon + \sqrt{g^{2} + v}}"},
    ),
    "adadelta": (
        {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
        0.3,
        9.0,
        0.966,
        {"w": r"w - \frac{\eta g \sqrt{\epsilon + u}}{\sqrt{\epsilon + v}}"},
    ),
    "rmsprop": (
        {"lr": 0.01, "alpha": 0.99, "eps": 1e-8},
        -2.6,
        1.6,
        0.968,
        {"w": r"w - \frac{\eta g}{\epsilon + \sqrt{v}}"},
    ),
    "adam": (
        {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
        -2.3,
        2.0,
        0.974,
        {
            "m": r"\beta_{1} m + g \left(1 - \beta_{1}\right)",
            "v": r"\beta_{2} v + g^{2} \left(1 - \beta_{2}\right)",
            "w": r"w - \frac{\eta m}{\left(1 - \beta_{1}^{t}\right) \left(\epsilon + "
            r"\sqrt{\frac{v}{1 - \beta_{2}^{t}}}\right)}",
        },
    ),
    "adamw": (
        {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
        -2.3,
        2.0,
        0.975,
        {"w": r"w \left(1 - \eta \lambda\right) - \frac{\eta m}{\epsilon + \sqrt{v}}"},
    ),
}


@dataclass
class Recipe:
    """What to write: the defaults are the default command's study."""

    optimizers: list[str] = field(default_factory=lambda: list(RULES))
    rates: int = 12
    tune: int = 3
    confirm: int = 20
    quadratic: bool = False  # score = test loss, lower is better, no validation split
    all_fail: bool = False
    status: str = "complete"
    epochs: int = 30
    rename: dict[str, str] = field(default_factory=dict)


def write_study(folder: Path, **choices: object) -> Path:
    """Write study.json, trials.parquet and curves.parquet; return the folder."""
    recipe = Recipe(**choices)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    trials = _trials(recipe)
    study = _study(recipe, trials)
    curves = _curves(recipe, trials)
    trials["optimizer"] = trials.optimizer.replace(recipe.rename)
    trials.to_parquet(folder / "trials.parquet")
    curves.to_parquet(folder / "curves.parquet")
    text = json.dumps(_safe(study), indent=1, allow_nan=False)
    for old, new in recipe.rename.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    (folder / "study.json").write_text(text)
    return folder


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a study folder to order."""
    return lambda **choices: write_study(tmp_path / "study", **choices)


@pytest.fixture(scope="session")
def default_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of eight rules, 12 rates and all phases."""
    return write_study(tmp_path_factory.mktemp("default") / "study")


def _rates(recipe: Recipe) -> np.ndarray:
    return np.logspace(-4, 1.5, recipe.rates)


def _trials(recipe: Recipe) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for name in recipe.optimizers:
        for lr in _rates(recipe):
            rows += [_row(recipe, name, "tune", lr, seed) for seed in range(recipe.tune)]
    if recipe.confirm:
        for name in recipe.optimizers:
            for lr in _top(recipe, rows, name):
                rows += [_row(recipe, name, "select", lr, 100 + seed) for seed in range(5)]
            lr = _top(recipe, rows, name)[0]
            rows += [_row(recipe, name, "confirm", lr, 200 + s) for s in range(recipe.confirm)]
    table = pd.DataFrame(rows)
    table.insert(0, "member", range(len(table)))
    return table.astype({"diverged_at": "Int64"})


def _row(recipe: Recipe, name: str, phase: str, lr: float, seed: int) -> dict[str, object]:
    hypers, best, room, peak, _ = RULES[name]
    noise = np.random.default_rng([seed, list(RULES).index(name), int(1e6 + 1e5 * np.log10(lr))])
    shared = np.random.default_rng(seed).normal(0, 0.004)
    off = np.log10(lr) - best
    failed = recipe.all_fail or off > room + noise.normal(0, 0.15)
    failed = failed or (name in ("rmsprop", "momentum") and seed in (203, 211))
    stopped = not failed and phase == "tune" and off < -2.6 and seed == 1
    accuracy = peak - 0.02 * off**2 - 0.03 * max(-off - 1.2, 0) ** 2
    accuracy = float(np.clip(accuracy + shared + noise.normal(0, 0.003), 0.1, 1))
    score = 87 + 40 * off**2 + abs(noise.normal(0, 0.1)) if recipe.quadratic else accuracy
    tested = phase == "confirm" or not recipe.confirm
    ok = not (failed or stopped)
    return {
        **{"optimizer": name, "phase": phase, "seed": seed},
        **{key: np.nan for rule in RULES.values() for key in rule[0]},
        **hypers,
        "lr": lr,
        "status": "diverged" if failed else "stopped" if stopped else "ok",
        "diverged_at": int(noise.integers(3, 200)) if failed else None,
        "steps": 850 if ok else 120,
        "seconds": 0.02,
        "val_loss": np.nan if recipe.quadratic or not ok else 0.1,
        "val_score": np.nan if recipe.quadratic or not ok else score,
        "test_loss": score if tested and ok else np.nan,
        "test_score": score - (0 if recipe.quadratic else 0.004) if tested and ok else np.nan,
    }


def _top(recipe: Recipe, rows: list[dict[str, object]], name: str) -> list[float]:
    table = pd.DataFrame(rows)
    table = table[(table.optimizer == name) & (table.phase == "tune")]
    column = "test_score" if recipe.quadratic else "val_score"
    means = table.groupby("lr")[column].agg(lambda v: v.mean(skipna=False))
    best_first = means.sort_values(ascending=recipe.quadratic, na_position="last")
    return [float(lr) for lr in best_first.index[:3]]


def _curves(recipe: Recipe, trials: pd.DataFrame) -> pd.DataFrame:
    epoch = np.arange(recipe.epochs + 1)
    parts = []
    for trial in trials[trials.status == "ok"].itertuples():
        noise = np.random.default_rng(trial.member)
        speed = 1 + 0.6 * list(RULES).index(trial.optimizer) + noise.uniform(0, 0.4)
        reach = 1 - 0.9 * np.exp(-epoch / speed) + noise.normal(0, 0.004, len(epoch))
        score = np.nan if recipe.quadratic else trial.val_score * reach
        loss = 2.3 * np.exp(-epoch / (2 * speed)) + 0.02 + abs(noise.normal(0, 0.01, len(epoch)))
        parts.append(
            pd.DataFrame(
                {"member": trial.member, "step": epoch * 28, "epoch": epoch.astype(float)}
                | {"train_loss": loss, "val_loss": loss * 1.2, "val_score": score}
            )
        )
    columns = ["member", "step", "epoch", "train_loss", "val_loss", "val_score"]
    return (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns, dtype=float)
    )


def _study(recipe: Recipe, trials: pd.DataFrame) -> dict[str, object]:
    finished = recipe.status == "complete"
    ranking = _ranking(recipe, trials) if finished else []
    named = [row for row in ranking if np.isfinite(row["score"])]
    winner = named[0] if named else None
    direction = "min" if recipe.quadratic else "max"
    model, data = ("quadratic_deep", "made-up points") if recipe.quadratic else ("mlp", "digits")
    return {
        "format": 1,
        "status": recipe.status,
        "created": "2026-11-02T09:30:00",
        "command": "ravine compare --data digits --model mlp",
        "seconds": 41.2,
        "problem": {
            **{"name": f"{data}_{model}", "data": data, "model": model, "loss": "softmax"},
            **{"input_shape": [64], "classes": 10, "train": 1149},
            **{"validation": None if recipe.quadratic else 288, "test": 360, "parameters": 4810},
        },
        "settings": {
            **{"epochs": recipe.epochs, "batch": 64, "schedule": "cosine", "trials": recipe.rates},
            "seeds": {"tune": recipe.tune, "select": 5, "confirm": recipe.confirm},
            "lr": list(_rates(recipe)),
            **{"confirm": bool(recipe.confirm), "seed": 0, "steps": 850},
        },
        "protocol": {
            "phases": {
                "tune": list(range(recipe.tune)),
                "select": list(range(100, 105)) if recipe.confirm else [],
                "confirm": list(range(200, 200 + recipe.confirm)),
            },
            **{"confidence": 0.95, "smallest_difference": None if recipe.quadratic else 0.005},
            **{"correction": "holm", "extension": None},
        },
        "score": {"name": "loss" if recipe.quadratic else "accuracy", "direction": direction},
        "optimizers": [_optimizer(name) for name in recipe.optimizers],
        "ranking": ranking,
        "target": 0.95 if winner and not recipe.quadratic else None,
        "pairs": _pairs(recipe, trials, [row["optimizer"] for row in named]),
        "verdict": winner
        and f"{winner['optimizer']} is best for {model} on {data} (batch 64, "
        f"{recipe.epochs} epochs, cosine schedule): 0.4 points above nesterov.",
        "winner": winner
        and {
            **{"optimizer": winner["optimizer"], "lr": winner["lr"]},
            "code": "import torch\n\noptimizer = torch.optim.AdamW(model.parameters(), "
            f"lr={winner['lr']:.4g}, weight_decay=0.01)\n"
            "schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=850)",
        },
        "versions": {"ravine": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6"},
        "machine": {"cpu": "a made-up CPU", "cores": 2, "memory_gb": 16.0, "threads": 2},
        "notices": ["no C++ compiler found: the forward pass ran uncompiled"] if winner else [],
    }


def _optimizer(name: str) -> dict[str, object]:
    return {
        **{
            "name": name,
            "convention": "torch",
            "hypers": RULES[name][0],
            "latex": _equations(name),
        },
        **{"paper": f"The paper of {name}, 2015", "differs": "as torch.optim writes it"},
    }


def _equations(name: str) -> dict[str, str]:
    return {key: f"{key}_t = {right}" for key, right in RULES[name][4].items()}


def _ranking(recipe: Recipe, trials: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for name in recipe.optimizers:
        own = trials[trials.optimizer == name]
        lr = _top(recipe, own.to_dict("records"), name)[0]
        phase = "confirm" if recipe.confirm else "tune"
        scored = own[(own.phase == phase) & (own.lr == lr)].test_score.to_numpy()
        final = scored[np.isfinite(scored)] if np.isfinite(scored).any() else scored
        spread = stats.sem(final) * stats.t.ppf(0.975, len(final) - 1) if len(final) > 1 else np.nan
        chosen = {
            p: own[(own.phase == p) & (own.lr == lr)].val_score.mean()
            for p in ("tune", "select", "confirm")
        }
        reached = name not in ("sgd", "adagrad")
        rows.append(
            {
                **{"optimizer": name, "lr": lr, "score": final.mean()},
                **{"low": final.mean() - spread, "high": final.mean() + spread},
                **{"tune_score": chosen["tune"], "select_score": chosen["select"]},
                "winners_curse": chosen["tune"] - chosen["confirm"],
                "failures": int(np.isnan(scored).sum()),
                "tuning_failures": int((own.status != "ok").sum() - np.isnan(scored).sum()),
                "trials": recipe.rates,
                "steps_to_target": 420.0 if reached else np.inf,
                "seconds_to_target": 0.0123 if reached else np.inf,
                **{"seconds_per_step": 3.1e-05, "width_decades": 1.25},
            }
        )
    sign = 1 if recipe.quadratic else -1
    return sorted(rows, key=lambda row: np.nan_to_num(sign * row["score"], nan=np.inf))


def _pairs(recipe: Recipe, trials: pd.DataFrame, names: list[str]) -> list[dict[str, object]]:
    rows = []
    final = trials[trials.phase == "confirm"].pivot_table(
        index="seed", columns="optimizer", values="test_score"
    )
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if a not in final or b not in final:
                continue
            gap = (final[a] - final[b]).dropna()
            half = stats.sem(gap) * stats.t.ppf(0.999, len(gap) - 1)
            low, high = gap.mean() - half, gap.mean() + half
            small = max(-low, high) < 0.005
            verdict = "better" if low > 0 else "equivalent" if small else "undecided"
            rows.append(
                {
                    **{"a": a, "b": b, "difference": gap.mean(), "low": low, "high": high},
                    **{"p": 0.001, "p_holm": 0.02, "verdict": verdict},
                    "seeds_needed": 55 if verdict == "undecided" else None,
                }
            )
    return rows


def _safe(value: object) -> object:
    """Return the value with non-finite numbers as None, as the study stores them."""
    if isinstance(value, dict):
        return {key: _safe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_safe(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
