"""The chart of docs/performance.md: a bar for every ratio, with ticks at its must and its goal.

Background transparent, text and grid in a grey that is readable on white and on near-black alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")  # no window, no display

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from .results import Result, Run

INK = "#7c8087"
_BARS = {"due": "#3f83c8", "next": "#9bb8d6"}
_MUST, _GOAL = "#d9772b", "#2f9e72"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "sage_native",
}


def draw(run: Run, path: Path) -> None:
    """Write ``path.svg`` and ``path.png``."""
    results = [one for one in run.results if one.unit == "x" and one.standing != "beside"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=(9.2, 0.9 + 0.31 * len(results)))
        _draw_bars(axes, results)
        _dress(axes, results)
        canvas.tight_layout()
        canvas.savefig(
            path.with_suffix(".svg"), transparent=True, metadata={"Date": None, "Creator": None}
        )
        canvas.savefig(path.with_suffix(".png"), transparent=True, dpi=160)
        plt.close(canvas)


def _draw_bars(axes: Axes, results: list[Result]) -> None:
    for at, result in enumerate(results):
        axes.barh(at, result.figure, height=0.62, color=_BARS[result.standing], zorder=2)
        axes.plot([result.low, result.high], [at, at], color=INK, linewidth=1.1, zorder=3)
        for line, color in ((result.must, _MUST), (result.goal, _GOAL)):
            if line is not None:
                axes.plot(
                    [line, line], [at - 0.42, at + 0.42], color=color, linewidth=2.4, zorder=4
                )
        axes.annotate(
            f"{result.figure:.1f}x",
            (1, at),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="center",
            fontweight="bold",
        )


def _dress(axes: Axes, results: list[Result]) -> None:
    axes.set_yticks(range(len(results)), [f"{one.operation}  [{one.row}]" for one in results])
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("times as fast as the peer (median of the pairs; thin line: 10 % – 90 %)")
    axes.axvline(1, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    axes.grid(axis="x", color=INK, alpha=0.22, linewidth=0.7, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.legend(
        handles=[
            Patch(color=_BARS["due"], label="measured"),
            Patch(color=_BARS["next"], label="next: shown for orientation"),
            Line2D([], [], color=_MUST, linewidth=2.4, label="must"),
            Line2D([], [], color=_GOAL, linewidth=2.4, label="goal"),
        ],
        loc="lower center",
        bbox_to_anchor=(0.3, 1.0),
        ncols=4,
        frameon=False,
        handlelength=1.2,
    )
