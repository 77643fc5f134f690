"""Figures as SVG inside the page: well-formed by construction, coloured by its style sheet."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from dsmote.job.report.axis import Axis
from dsmote.job.report.columns import clean
from dsmote.job.report.projection import Projection

__all__ = ["bars_figure", "levels_figure", "percent", "rough", "scatter_figure"]

#: All figures are drawn for this width, which is a phone's, and stretched little on others.
WIDTH = 320
_LEFT, _RIGHT, _TOP, _PLOT = 40, 8, 8, 110
_CHARACTER = 6.0  # width of a character of a label, roughly
_LEVEL = 34


def percent(share: float) -> str:
    """Write a share as per cent: small ones with as many digits as they need to be none.

    Examples
    --------
    >>> percent(0.5), percent(2 / 494_021), percent(0.0)
    ('50.00 %', '0.000405 %', '0 %')
    """
    value = 100 * share
    if not value:
        return "0 %"
    if abs(value) >= 1:
        return f"{value:.2f} %"
    decimals = 2 - int(np.floor(np.log10(abs(value))))
    return f"{value:.{decimals}f} %"


def rough(share: float) -> str:
    """Write the share of a sample, of which more digits would say nothing.

    Examples
    --------
    >>> rough(0.12345), rough(0.0001), rough(0.0), rough(0.9999)
    ('12.3 %', '< 0.1 %', '0 %', '> 99.9 %')
    """
    if not share:
        return "0 %"
    if share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.9995 or share > 1 - 1e-9 else "> 99.9 %"


class _Figure:
    """An SVG element that is filled."""

    def __init__(self, height: float, title: str, description: str, key: str) -> None:
        self.root = ElementTree.Element(
            "svg",
            {
                "viewBox": f"0 0 {WIDTH} {_short(height)}",
                "role": "img",
                "aria-labelledby": f"{key}-t {key}-d",
                "preserveAspectRatio": "xMidYMid meet",
            },
        )
        ElementTree.SubElement(self.root, "title", {"id": f"{key}-t"}).text = clean(title, 400)
        described = clean(description, 2_000)
        ElementTree.SubElement(self.root, "desc", {"id": f"{key}-d"}).text = described

    def add(self, tag: str, text: str | None = None, **attributes: object) -> ElementTree.Element:
        """Add an element; numbers are written short, and class_ is the class."""
        named = {
            name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _short(value)
            for name, value in attributes.items()
        }
        element = ElementTree.SubElement(self.root, tag, named)
        if text is not None:
            element.text = clean(text)
        return element

    def text(self) -> str:
        """Return the figure as text."""
        return ElementTree.tostring(self.root, encoding="unicode", short_empty_elements=False)


def _short(value: object) -> str:
    return f"{float(value):.2f}".rstrip("0").rstrip(".")  # type: ignore[arg-type]


def bars_figure(
    axis: Axis, old: np.ndarray, new: np.ndarray, title: str, description: str, key: str
) -> str:
    """Draw two histograms on the same bins, bar beside bar.

    Parameters
    ----------
    axis : Axis
    old, new : ndarray of float64, shape (bins,)
        Shares of original and of new rows.
    title, description : str
        For those who do not see it.
    key : str
        Tells the figure from others on the page.

    Returns
    -------
    str
        An svg element.
    """
    height = _TOP + _PLOT + 22
    figure = _Figure(height, title, description, key)
    top = max(float(np.max(old, initial=0)), float(np.max(new, initial=0)))
    top = top if top > 0 else 1.0
    base, inner = _TOP + _PLOT, WIDTH - _LEFT - _RIGHT
    _shares_axis(figure, top, base)
    width = inner / (len(axis.edges) - 1)
    # Two bars and a gap; few bins would give very broad bars.
    bar = min(width * 0.44, 28)
    for i, (a, b) in enumerate(zip(old.tolist(), new.tolist(), strict=True)):
        middle = _LEFT + (i + 0.5) * width
        for share, left, kind in ((a, middle - bar, "old"), (b, middle, "new")):
            if share > 0:
                # What is there must be seen: at least a line.
                tall = max(0.75, share / top * _PLOT)
                figure.add("rect", x=left, y=base - tall, width=bar, height=tall, class_=kind)
    figure.add("line", x1=_LEFT, y1=base, x2=WIDTH - _RIGHT, y2=base, class_="axis")
    first, last = float(axis.edges[0]), float(axis.edges[-1])
    length = (last - first) or 1.0
    _value_ticks(figure, [(_LEFT + (p - first) / length * inner, t) for p, t in axis.ticks], base)
    return figure.text()


def _shares_axis(figure: _Figure, top: float, base: float) -> None:
    for share in (top / 2, top):
        y = base - share / top * _PLOT
        figure.add("line", x1=_LEFT, y1=y, x2=WIDTH - _RIGHT, y2=y, class_="grid")
        label = f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"
        figure.add("text", label, x=_LEFT - 3, y=y + 4, text_anchor="end")


def _value_ticks(figure: _Figure, ticks: Sequence[tuple[float, str]], base: float) -> None:
    """Write labels below an axis, leaving out those that would touch the one before."""
    written = -1e9
    for x, label in ticks:
        if not _LEFT - 1 <= x <= WIDTH - _RIGHT + 1:
            continue
        figure.add("line", x1=x, y1=base, x2=x, y2=base + 3, class_="axis")
        half = len(label) * _CHARACTER / 2
        # Kept inside the figure.
        at = min(max(x, half + 1), WIDTH - half - 1)
        if at - half > written + 4:
            figure.add("text", label, x=at, y=base + 15, text_anchor="middle")
            written = at + half


def levels_figure(
    names: Sequence[str],
    old: Sequence[float],
    new: Sequence[float],
    title: str,
    description: str,
    key: str,
) -> str:
    """Draw the shares of names: a line of text, then two bars, for each.

    Parameters
    ----------
    names : sequence of str
    old, new : sequences of float
        Shares.
    title, description, key : str
        As for `bars_figure`.

    Returns
    -------
    str
    """
    figure = _Figure(_LEVEL * len(names) + 2, title, description, key)
    top = max([*old, *new, 1e-12])
    inner = WIDTH - 2
    for i, (name, a, b) in enumerate(zip(names, old, new, strict=True)):
        y = i * _LEVEL
        shares = f"{rough(a)} → {rough(b)}"
        room = inner - len(shares) * _CHARACTER - 12
        label = figure.add("text", _fitted(clean(name), room), x=1, y=y + 12)
        ElementTree.SubElement(label, "title").text = clean(name)
        figure.add("text", shares, x=inner, y=y + 12, text_anchor="end", class_="number")
        for share, at, kind in ((a, y + 17, "old"), (b, y + 24, "new")):
            if share > 0:
                length = max(1.0, share / top * inner)
                figure.add("rect", x=1, y=at, width=length, height=6, class_=kind)
    return figure.text()


def _fitted(text: str, room: float) -> str:
    """Cut a text that would be wider than there is room."""
    used = 0.0
    for place, character in enumerate(text):
        used += _width(character)
        if used > room:
            return f"{text[: max(1, place - 1)]}…"
    return text


def _width(character: str) -> float:
    """Return the width of a character in the broadest of the fonts that may be there."""
    if character in "MWmw@%" or unicodedata.east_asian_width(character) in "WF":
        return 11.4
    if character in "iIjl.,:;'| ":
        return 4.2
    return 8.8 if character.isupper() else 7.1


def scatter_figure(
    projection: Projection, title: str, description: str, keys: Sequence[str]
) -> str:
    """Draw rows in a plane, without and with the new ones, on the same axes.

    Parameters
    ----------
    projection : Projection
    title, description : str
    keys : sequence of two str

    Returns
    -------
    str
        Two svg elements.
    """
    every = np.vstack([projection.others, projection.old, projection.new])
    low, high = np.quantile(every, 0.001, axis=0), np.quantile(every, 0.999, axis=0)
    length = np.where(high > low, high - low, 1.0)
    low, length = low - 0.04 * length, 1.08 * length

    def path(points: np.ndarray) -> str:
        inside = np.clip((points - low) / length, 0, 1)
        x, y = 4 + inside[:, 0] * (WIDTH - 8), 4 + (1 - inside[:, 1]) * (WIDTH - 88)
        return "".join(f"M{_tenth(a)} {_tenth(b)}h0" for a, b in zip(x, y, strict=True))

    others, old, new = (
        ("others", projection.others),
        ("old", projection.old),
        ("new", projection.new),
    )
    # The fewer are drawn last, and so seen.
    both = (old, new) if len(projection.old) > len(projection.new) / 2 else (new, old)
    panels = (("original rows", (others, old)), ("with new rows", (others, *both)))
    drawn = []
    for (name, layers), key in zip(panels, keys, strict=True):
        figure = _Figure(WIDTH - 60, f"{title}: {name}", description, key)
        figure.add("rect", x=1, y=1, width=WIDTH - 2, height=WIDTH - 82, class_="frame")
        for kind, points in layers:
            if len(points):
                figure.add("path", d=path(points), class_=f"dots {kind}")
        figure.add("text", name, x=WIDTH / 2, y=WIDTH - 66, text_anchor="middle")
        drawn.append(figure.text())
    return "".join(drawn)


def _tenth(value: float) -> str:
    return f"{value:.1f}"
