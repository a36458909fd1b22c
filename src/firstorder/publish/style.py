"""One look for all figures, and figure files whose bytes depend on the data alone."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import (
    FuncFormatter,
    LogFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from firstorder import files
from firstorder.publish import spreadsheets
from firstorder.publish.numerals import RAISED, number

OKABE_ITO = (
    "#000000",
    "#D55E00",
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C6D1F",
)
"""Colour-blind-safe (Okabe and Ito 2008); its yellow, too pale for lines, darkened."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
WIDE = 7.0
"""Width in inches of a figure over the whole text."""
METADATA: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "ModDate": None},
    "svg": {"Date": None},
    "png": {},
}
TICK_POINTS = 7.5
ROUNDS = 4
"""How often titles are broken into lines at most: more lines leave a panel less room."""
RC = {
    "text.parse_math": False,  # labels of the configuration are no formulas, whatever is in them
    "svg.hashsalt": "firstorder",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "xtick.labelsize": TICK_POINTS,
    "ytick.labelsize": TICK_POINTS,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class Drawing:
    """A figure and the data it shows."""

    figure: Figure
    data: pd.DataFrame


@dataclass(frozen=True)
class Look:
    """How one series is drawn, the same in every panel."""

    color: str
    marker: str
    linestyle: Any

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a line without markers."""
        return {"color": self.color, "linestyle": self.linestyle}

    @property
    def points(self) -> dict[str, Any]:
        """Arguments of a line with markers."""
        return {**self.line, "marker": self.marker}


@contextmanager
def house() -> Iterator[None]:
    """Draw in the house style."""
    look = {**seaborn.axes_style("ticks"), **seaborn.plotting_context("paper"), **RC}
    with matplotlib.rc_context(look):
        yield


def looks(names: Iterable[str]) -> dict[str, Look]:
    """One look per name, in order: colours first, then other line styles."""
    distinct = list(dict.fromkeys(names))
    return {
        name: Look(
            color=OKABE_ITO[index % len(OKABE_ITO)],
            marker=MARKERS[index % len(MARKERS)],
            linestyle=LINES[(index % 2 + 2 * (index // len(OKABE_ITO))) % len(LINES)],
        )
        for index, name in enumerate(distinct)
    }


def graded(values: Iterable[int]) -> dict[int, str]:
    """One colour per value, from dark for the smallest to light for the largest."""
    distinct = sorted(set(values))
    colors = seaborn.color_palette("viridis", len(distinct) + 1)  # the lightest is too light
    return dict(zip(distinct, colors.as_hex(), strict=False))


def panels(
    rows: int, columns: int, height: float = 2.1, width: float = WIDE, **sharing: Any
) -> tuple[Figure, np.ndarray]:
    """A figure with a (rows, columns) array of axes; `height` in inches of one row."""
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **sharing)


class Powers(LogFormatter):
    """Ticks of a logarithmic axis without mathtext: 10⁻³, 2×10⁴."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        if not super().__call__(x, pos):  # of an axis of many decades, not all ticks have labels
            return ""
        exponent = math.floor(math.log10(x) + 1e-9)
        factor = f"{x / 10**exponent:g}"
        power = "10" + str(exponent).translate(RAISED)
        return power if factor == "1" else f"{factor}×{power}"


HIDDEN = re.compile(r"_(?!child\d+$|nolegend_$)")
"""Labels of the configuration that matplotlib would leave out, as it does its own."""


def seeds(
    counts: Iterable[int], mark: str = "mean ± standard deviation", unit: str = "seed"
) -> str:
    """What a mark shows, for a legend's title: `one seed`, or `mean ..., n = 5 seeds`.

    `counts`: how many units are behind every mark; `mark`: what is drawn where there are several.
    """
    known = sorted(set(map(int, counts))) or [0]
    if known[-1] <= 1:
        return f"one {unit}"
    span = f"{known[-1]}" if len(known) == 1 else f"{known[0]} to {known[-1]}"
    return f"{mark}, n = {span} {unit}s"


def legend_below(figure: Figure, axes: Iterable[Axes], title: str = "") -> None:
    """One legend under all panels, each label once, in as many columns as fit the width.

    A label whose line has no marks in one panel and marks in another is shown with both.
    `title` says what every mark shows (see `seeds`); it is printed without marks to name, too.
    """
    handles: dict[str, Any] = {}
    for each in axes:
        for artist in each.get_children():
            if HIDDEN.match(str(artist.get_label())):
                artist.set_label(f"\u200b{artist.get_label()}")
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            known = handles.setdefault(label, (handle,))
            if _marked(handle) and not any(map(_marked, known)):
                handles[label] = (*known, handle)
    if not handles and not title:  # a run shorter than what a figure looks at
        return
    # A label takes about 0.053 inches a character, its line and the gap 0.55.
    widest = 0.55 + 0.053 * max(map(len, handles), default=0)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=max(1, min(len(handles), int(figure.get_figwidth() / widest))),
        title=title or None,
        title_fontsize=RC["legend.fontsize"],
        handlelength=3.0,
        columnspacing=1.4,
    )


def _marked(handle: Any) -> bool:
    return isinstance(handle, Line2D) and handle.get_marker() not in ("None", "none", "", " ", None)


def percent(axes: Axes, axis: str = "y", low: float = 0.0, high: float = 1.0) -> None:
    """Show fractions as percent on an axis that spans [low, high] with a small margin."""
    margin = 0.03 * (high - low)
    formatter = FuncFormatter(lambda value, _: number(100 * value))
    if axis == "y":
        axes.set_ylim(low - margin, high + margin)
        axes.yaxis.set_major_formatter(formatter)
    else:
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_formatter(formatter)


def accuracies(axes: Iterable[Axes], mean: pd.Series, std: pd.Series | None = None) -> None:
    """Accuracy axes that hold mean ± std, from a whole ten percent to another; all of 0 to 100
    where there is none."""
    around = 0.0 if std is None else std.fillna(0.0)
    least = float((mean - around).min())
    low = np.floor(10.0 * least - 0.1) / 10.0 if np.isfinite(least) else 0.0
    most = float((mean + around).max())
    high = np.ceil(10.0 * most + 0.1) / 10.0 if np.isfinite(most) else 1.0
    for each in axes:
        percent(each, low=max(low, 0.0), high=min(high, 1.0))


def epochs(axes: Axes) -> None:
    """A horizontal axis of epochs: whole numbers."""
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def log_values(axes: Axes, axis: str = "y") -> None:
    """A logarithmic axis with plain numbers at 1, 2, 5 where it spans less than two decades."""
    (axes.set_yscale if axis == "y" else axes.set_xscale)("log")
    shown = axes.yaxis if axis == "y" else axes.xaxis
    low, high = axes.get_ylim() if axis == "y" else axes.get_xlim()
    if high / low < 100:
        shown.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        shown.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        shown.set_minor_locator(NullLocator())
    elif high / low > 1e4:
        shown.set_minor_locator(NullLocator())


DECADES = 2.0
"""How many decades values span before a linear axis hides the small ones."""


def spanning(axes: Axes, values: Iterable[float]) -> bool:
    """Make the vertical axis logarithmic where the positive `values` span decades; whether they do.

    With zeros or negative values among them it is linear up to the smallest positive one.
    """
    known = np.asarray(list(values), float)
    known = known[np.isfinite(known)]
    positive = known[known > 0]
    if not len(positive) or positive.max() / positive.min() < 10**DECADES:
        return False
    if len(positive) == len(known):
        log_values(axes)
    else:
        axes.set_yscale("symlog", linthresh=float(positive.min()))
    return True


def _power_of_ten(count: int) -> bool:
    return str(count).rstrip("0") == "1"


def log_index(axes: Axes, ticks: Iterable[int]) -> None:
    """A logarithmic axis of indices or sizes, ticks at the values that were run.

    Of two whose labels would touch one has it: the ends before powers of ten, these before others.
    """
    axes.set_xscale("log")
    values = sorted(set(ticks))
    ends = (values[0], values[-1])
    inches = axes.get_window_extent().width / axes.figure.dpi
    decade = 0.9 * inches / max(1.0, np.log10(values[-1] / values[0]))
    digit = 0.65 * TICK_POINTS / 72

    def apart(one: int, other: int) -> bool:
        characters = 1 + (len(str(one)) + len(str(other))) / 2
        return bool(abs(np.log10(one / other)) * decade >= characters * digit)

    kept: list[int] = []
    for tick in sorted(values, key=lambda tick: (tick not in ends, not _power_of_ten(tick))):
        if all(apart(tick, other) for other in kept):
            kept.append(tick)
    kept.sort()
    axes.set_xticks(kept, [str(tick) for tick in kept])
    axes.xaxis.set_minor_locator(NullLocator())


Spread = pd.Series | tuple[pd.Series, pd.Series]
"""One standard deviation; or the least and the greatest value, which a logarithmic axis can show
where the mean less one deviation is below zero."""


def _ends(mean: pd.Series, spread: Spread) -> tuple[pd.Series, pd.Series]:
    if isinstance(spread, tuple):
        return spread
    deviation = spread.fillna(0.0)  # of one seed
    return mean - deviation, mean + deviation


def band(
    axes: Axes, x: Any, mean: pd.Series, spread: Spread, look: Look, label: str, **more: Any
) -> None:
    """A line of means in a band of their spread."""
    axes.plot(x, mean, label=label, **{**look.line, **more})
    axes.fill_between(x, *_ends(mean, spread), color=look.color, alpha=0.15, linewidth=0)


def whiskers(
    axes: Axes, x: Any, mean: pd.Series, spread: Spread, look: Look, label: str, **more: Any
) -> None:
    """Marked means, joined by a line, with bars of their spread."""
    low, high = _ends(mean, spread)
    bars: dict[str, Any] = {"ecolor": look.color, "elinewidth": 0.8, "capsize": 2}
    axes.errorbar(x, mean, yerr=[mean - low, high - mean], fmt="none", **bars)
    axes.plot(x, mean, label=label, **{**look.points, **more})


def lay_out(figure: Figure) -> None:
    """Place everything, titles and labels in as many lines as their panel asks for.

    Done once: faster, and the same in every format.
    """
    labels = [(each.title, each.xaxis.label, each.yaxis.label) for each in figure.axes]
    whole = {text: text.get_text() for texts in labels for text in texts}
    for _ in range(ROUNDS):
        figure.draw_without_rendering()
        broken = False
        for axes in figure.axes:
            room = axes.get_window_extent()
            width = _room(room.x0, room.x1, figure.bbox.width)
            height = _room(room.y0, room.y1, figure.bbox.height)
            for text, space in (
                (axes.title, width), (axes.xaxis.label, width), (axes.yaxis.label, height)
            ):  # fmt: skip
                broken |= _wrap(text, whole[text], space)
        if not broken:
            break
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _room(start: float, end: float, whole: float) -> float:
    """Pixels of a text centred on an axis: a little beyond its ends, never beyond the figure."""
    return min(1.08 * (end - start), start + end, 2 * whole - start - end)


def _wrap(text: Text, whole: str, room: float) -> bool:
    """Break `whole` into lines of `room` pixels where `text` is longer; whether that was so."""
    box = text.get_window_extent()
    length = box.height if text.get_rotation() == 90 else box.width
    if not whole or length <= room:
        return False
    longest = max(map(len, text.get_text().split("\n")))
    characters = max(8, int(longest * room / length))
    text.set_text(
        "\n".join(part for line in whole.split("\n") for part in textwrap.wrap(line, characters))
    )
    return True


def save(drawing: Drawing, path_of: dict[str, str]) -> None:
    """Write a drawing as pdf, svg and png (200 dpi) and its data as csv."""
    with house():
        for axes in drawing.figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
                    axis.set_major_formatter(Powers())
                if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
                    axis.set_minor_formatter(Powers())
        lay_out(drawing.figure)
        for suffix, metadata in METADATA.items():
            with files.replacing(path_of[suffix]) as temporary:
                drawing.figure.savefig(temporary, format=suffix, metadata=metadata)
    files.write_text(path_of["csv"], spreadsheets.csv(drawing.data))
