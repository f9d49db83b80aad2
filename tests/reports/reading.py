"""A plain reader of the report, as a browser without scripts would see it."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

# Elements that have no end tag.
_VOID = {"meta", "link", "img", "br", "hr", "input", "mspace"}


@dataclass
class Reading(HTMLParser):
    """Every element with its attributes, the text outside scripts, tables and figures."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    css: str = ""
    open: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._caption = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append("")
        if tag == "data":
            self.numbers.setdefault(self._caption, []).append(float(dict(attrs)["value"] or "nan"))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            attributes, before = self.scripts.pop()
            self.scripts.append((attributes, before + data))
            return
        if inside == "style":
            self.css += data
            return
        self.text.append(data)
        if inside == "caption":
            self._caption += data
        elif {"td", "th"} & set(self.open) and "table" in self.open:
            self.tables[self._caption][-1][-1] += data

    def figure(self, key: str) -> dict:
        """Return Plotly's JSON of one figure."""
        [text] = [text for given, text in self.scripts if given.get("id") == f"figure-{key}"]
        return json.loads(text)


def read(path: Path) -> Reading:
    """Parse a report."""
    reading = Reading()
    reading.feed(path.read_text(encoding="utf-8"))
    reading.close()
    return reading
