"""The chart of row 19: bytes for each live nonce against the capacity of the set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib import pyplot as plt

from .chart import INK, STYLE

if TYPE_CHECKING:
    from pathlib import Path

    from .memory import Footprint
    from .results import Run

_OURS, _DICT, _MUST, _GOAL = "#3f83c8", "#9a6bb5", "#d9772b", "#2f9e72"


def draw(run: Run, path: Path) -> None:
    """Write ``path.svg`` and ``path.png``."""
    sets = [one for one in run.footprints if one.operation.startswith("Live nonce, set")]
    with mpl.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=(7.2, 3.4))
        axes.plot(
            [one.count for one in sets],
            [one.each_len for one in sets],
            color=_OURS,
            marker="o",
            label="ReplaySet, filled to its capacity",
        )
        for one in sets:
            axes.annotate(
                f"{one.each_len:.1f}",
                (one.count, one.each_len),
                (0, -14),
                textcoords="offset points",
                ha="center",
            )
        _draw_levels(run.footprints, sets)
        axes.set_xscale("log")
        axes.set_yscale("log", base=2)
        axes.set_ylim(8, 1024)
        axes.yaxis.set_major_formatter("{x:.0f}")
        axes.set_xlabel("live nonces")
        axes.set_ylabel("bytes for each")
        axes.grid(color=INK, alpha=0.22, linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper right", ncols=2)
        canvas.tight_layout()
        canvas.savefig(
            path.with_suffix(".svg"), transparent=True, metadata={"Date": None, "Creator": None}
        )
        canvas.savefig(path.with_suffix(".png"), transparent=True, dpi=160)
        plt.close(canvas)


def _draw_levels(footprints: list[Footprint], sets: list[Footprint]) -> None:
    for one in footprints:
        if one.operation == "Live nonce, dict and deque":
            plt.axhline(one.each_len, color=_DICT, label="dict and deque")
    for one in sets:
        if one.must is not None and one.goal is not None:
            plt.axhline(one.must, color=_MUST, linestyle="--", label="must")
            plt.axhline(one.goal, color=_GOAL, linestyle="--", label="goal")
