"""LaTeX to MathML, which browsers draw without a script or a font from elsewhere."""

from html import escape
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup

# All that a formula needs. Links, styles and handlers, which MathML allows too, are not here.
_ATTRIBUTES = {
    *("display", "accent", "stretchy", "fence", "form", "columnalign", "width", "mathvariant"),
    *("minsize", "maxsize", "linethickness", "displaystyle", "scriptlevel", "lspace", "rspace"),
    *("separator", "rowspacing", "columnspacing"),
}
_ELEMENTS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub"),
    *("msup", "msubsup", "mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle"),
    *("mpadded", "mphantom", "menclose"),
}
_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"


def mathml(latex: str) -> Markup:
    r"""Return a formula as MathML; as LaTeX source, escaped, where it cannot be converted.

    >>> mathml(r"\frac{g}{2}")
    Markup('<math ...><mfrac><mrow><mi>g</mi></mrow><mrow><mn>2</mn></mrow></mfrac>...</math>')
    """
    try:
        text = convert(latex, display="block")
        safe = _is_plain(ElementTree.fromstring(text))
    except Exception:  # the library's errors have no common base
        safe = False
    return Markup(text if safe else f"<code>{escape(latex)}</code>")


def _is_plain(root: ElementTree.Element) -> bool:
    return all(
        node.tag.removeprefix(_NAMESPACE) in _ELEMENTS and set(node.attrib) <= _ATTRIBUTES
        for node in root.iter()
    )
