"""The critical-difference diagram: mean ranks on a line, bars over what cannot be told apart."""

from __future__ import annotations

from matplotlib.axes import Axes

from firstorder.publish.statistics.paired import Ranking

LINE, GROUP = "#444444", "#0072B2"


def height(ranking: Ranking) -> float:
    """Inches that the axes of a diagram should have."""
    return 0.9 + 0.19 * (-(-len(ranking.methods) // 2)) + 0.1 * len(ranking.groups)


def draw(axes: Axes, ranking: Ranking) -> None:
    """Draw the diagram of `ranking`: best left, names beside the line, groups below it."""
    methods = len(ranking.methods)
    half = (methods + 1) // 2
    axes.set_xlim(1 - 0.02 * methods, methods + 0.02 * methods)
    rows = half + 0.6 * len(ranking.groups)
    axes.set_ylim(-rows - 0.9, 2.2)
    axes.axis("off")
    axes.plot([1, methods], [0, 0], color=LINE, linewidth=1.0, solid_capstyle="butt")
    for tick in range(1, methods + 1):
        axes.plot([tick, tick], [0, 0.18], color=LINE, linewidth=0.8)
        axes.text(tick, 0.3, str(tick), ha="center", va="bottom")
    for row, (first, last) in enumerate(_groups(ranking)):
        low = -0.5 - 0.6 * row
        ends = [first - 0.04, last + 0.04]
        axes.plot(ends, [low, low], color=GROUP, linewidth=3, solid_capstyle="butt")
    below = 0.6 * len(ranking.groups) + 0.2
    for place, (name, rank) in enumerate(zip(ranking.methods, ranking.ranks, strict=True)):
        left = place < half
        level = -below - (place if left else methods - 1 - place) - 0.6
        end = 1.0 if left else float(methods)
        axes.plot([rank, rank, end], [0, level, level], color=LINE, linewidth=0.7)
        label = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        offset = -4 if left else 4
        axes.annotate(
            label, (end, level), (offset, 0), textcoords="offset points",
            ha="right" if left else "left", va="center",
        )  # fmt: skip
    if ranking.by == "nemenyi":
        end = min(1.0 + ranking.critical_difference, methods)
        axes.plot([1, end], [1.7, 1.7], color=GROUP, linewidth=1.5)
        axes.annotate(
            f"CD {ranking.critical_difference:.2f}", (end, 1.7), (4, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip


def _groups(ranking: Ranking) -> list[tuple[float, float]]:
    """Smallest and largest mean rank of every group."""
    rank = dict(zip(ranking.methods, ranking.ranks, strict=True))
    return [(rank[group[0]], rank[group[-1]]) for group in ranking.groups]
