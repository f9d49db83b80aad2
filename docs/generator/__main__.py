"""Command line: write all pages, or tune rates first."""

import argparse
from pathlib import Path

from docs.generator.figures import drawn
from docs.generator.index import index
from docs.generator.pages import page
from docs.generator.paths import METHODS
from docs.generator.rates import tune
from ravine.rules import rule_names

FOLDER = Path(__file__).parents[1] / "rules"


def main() -> None:
    """Write every page and figure."""
    parser = argparse.ArgumentParser(prog="python -m docs.generator", description=__doc__)
    parser.add_argument("--tune", nargs="*", metavar="NAME", help="tune these anew; all without")
    chosen = parser.parse_args().tune
    if chosen is not None:
        tune(chosen)
    (FOLDER / "figures").mkdir(parents=True, exist_ok=True)
    (FOLDER / "README.md").write_text(index(), encoding="utf-8")
    for name in (*rule_names(), *METHODS):
        (FOLDER / f"{name}.md").write_text(page(name), encoding="utf-8")
        (FOLDER / "figures" / f"{name}.svg").write_text(drawn(name), encoding="utf-8")


if __name__ == "__main__":
    main()
