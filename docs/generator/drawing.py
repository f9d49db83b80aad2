"""A path on both surfaces as one SVG: plain text, small, readable on light and dark pages."""

from collections.abc import Iterable, Sequence

from docs.generator.paths import Path
from docs.generator.surfaces import Surface

Point = tuple[float, float]

# Blue and vermilion of Petroff 2021, arXiv:2107.02270, as in the reports; what is compared with
# is grey and dashed, so that nothing depends on colour alone.
_STYLE = """\
text{font:13px system-ui,sans-serif;fill:#24292f}
.page{fill:#fff}.frame{fill:none;stroke:#94a4a2}
.level{fill:none;stroke:#94a4a2;stroke-opacity:.55}
path,.key{fill:none;stroke-linejoin:round}
.other{stroke:#717581;stroke-width:1.5;stroke-dasharray:5 3}
.own{stroke:#3f90da;stroke-width:1.8}.step{fill:#3f90da}
.read{stroke:#e76300;stroke-width:1.8;stroke-dasharray:2 2.5}
.goal{stroke:#e76300;stroke-width:2}.start{fill:#fff;stroke:#24292f;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.other{stroke:#b4bcc6}
.start{fill:#0d1117;stroke:#e6edf3}}"""
_WIDTH, _HEIGHT, _GAP, _TOP = 350, 290, 20, 26
# A path moves at least so many pixels between two drawn points: less cannot be seen.
_LEAST = 0.6
# Steps that get a dot each; later ones lie too close.
_DOTS = 40


def figure(name: str, panels: Sequence[tuple[Surface, str, Path, Path]]) -> str:
    """Return an SVG.

    Args:
        name: What the path is of.
        panels: Surface, heading, own path and gradient descent's path of each panel.
    """
    width = len(panels) * (_WIDTH + _GAP) - _GAP + 2
    drawn = "".join(_panel(i, *panel) for i, panel in enumerate(panels))
    reads = any(own.reads for _, _, own, _ in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_TOP + _HEIGHT + 30}"'
        f' role="img" aria-label="Path of {name} on two surfaces">\n<style>{_STYLE}</style>\n'
        f'<rect class="page" width="100%" height="100%"/>\n{drawn}{_legend(name, reads)}</svg>\n'
    )


def _panel(index: int, surface: Surface, heading: str, own: Path, other: Path) -> str:
    left = index * (_WIDTH + _GAP) + 1
    lines = "".join(_closed(surface, surface.contour(level)) for level in surface.levels)
    lines += _open(surface, other.evaluated, "other") + _open(surface, own.stored, "own")
    lines += "".join(
        f'<circle class="step" cx="{x}" cy="{y}" r="2"/>'
        for x, y in _apart(_placed(surface, own.stored[1 : _DOTS + 1]))
    )
    if own.reads:
        lines += _open(surface, own.evaluated, "read")
    (x, y), (a, b) = _placed(surface, [surface.start, surface.minimum])
    lines += f'<circle class="start" cx="{x}" cy="{y}" r="4"/>'
    lines += f'<path class="goal" d="M{a - 6} {b}h12M{a} {b - 6}v12"/>'
    return (
        f'<text x="{left}" y="17">{heading}</text>\n'
        f'<svg x="{left}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}">\n{lines}\n'
        f'<rect class="frame" width="{_WIDTH}" height="{_HEIGHT}"/></svg>\n'
    )


def _legend(name: str, reads: bool) -> str:
    keys = [("own", name), *([("read", "as evaluated")] if reads else [])]
    keys += [("other", "gradient descent")] if name != "sgd" else []
    text, x, y = "", 2, _TOP + _HEIGHT + 19
    for kind, words in keys:
        line = f'<path class="{kind}" d="M{x} {y - 4}h28"/>'
        text += f'{line}<text x="{x + 34}" y="{y}">{words}</text>'
        x += 54 + 7 * len(words)
    start = f'<circle class="start" cx="{x + 4}" cy="{y - 4}" r="4"/>'
    goal = f'<path class="goal" d="M{x + 64} {y - 4}h12M{x + 70} {y - 10}v12"/>'
    words = f'<text x="{x + 14}" y="{y}">start</text><text x="{x + 82}" y="{y}">minimum</text>'
    return f"{text}{start}{goal}{words}\n"


def _placed(surface: Surface, points: Iterable[Point]) -> list[Point]:
    """Return points in pixels of their panel, to a tenth of one."""
    left, right, bottom, top = surface.window
    # Far outside, so that a line that leaves the panel does so in its direction.
    far = 5 * _WIDTH

    def pixel(value: float) -> float:
        return round(max(-far, min(far, value)), 1)

    across, down = _WIDTH / (right - left), _HEIGHT / (top - bottom)
    return [(pixel((x - left) * across), pixel((top - y) * down)) for x, y in points]


def _apart(points: list[Point]) -> list[Point]:
    """Leave out points that lie too close to the one before to be told from it."""
    kept = points[:1]
    for x, y in points[1:]:
        if max(abs(x - kept[-1][0]), abs(y - kept[-1][1])) >= _LEAST:
            kept.append((x, y))
    return kept


def _line(points: list[Point]) -> str:
    """Return a line as SVG path data."""
    (x, y), *rest = points
    text = f"M{x:g} {y:g}"
    for a, b in rest:
        text += f"L{a:g} {b:g}"
    return text


def _open(surface: Surface, points: Iterable[Point], kind: str) -> str:
    return f'<path class="{kind}" d="{_line(_apart(_placed(surface, points)))}"/>\n'


def _closed(surface: Surface, points: Iterable[Point]) -> str:
    return f'<path class="level" d="{_line(_apart(_placed(surface, points)))}z"/>\n'
