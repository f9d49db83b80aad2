"""The tuned rates, kept beside the generator: finding them takes minutes, drawing seconds."""

import json
from pathlib import Path

from docs.generator.paths import METHODS, tuned
from docs.generator.surfaces import SURFACES
from ravine.rules import rule_names

FILE = Path(__file__).with_name("rates.json")
Rates = dict[str, dict[str, float | None]]


def stored_rates() -> Rates:
    """Return the rate of each rule and method on each surface."""
    found: Rates = json.loads(FILE.read_text()) if FILE.is_file() else {}
    return found


def tune(names: list[str]) -> None:
    """Tune the named rules and methods anew, all without names, and store their rates."""
    rates = stored_rates()
    known = [*rule_names(), *METHODS]
    for name in names or known:
        rates[name] = {key: tuned(name, surface) for key, surface in SURFACES.items()}
        ordered = {n: rates[n] for n in known if n in rates}
        FILE.write_text(json.dumps(ordered, indent=1) + "\n")
