"""Pages from templates: each is one HTML file that loads nothing from elsewhere."""

from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs


def rendered(template: str, **values: Any) -> str:
    """Return a page with Plotly's code inside.

    Args:
        template: Its file.
        values: What the template asks for; anything else it asks for is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ravine.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(plotly=Markup(get_plotlyjs()), **values)
