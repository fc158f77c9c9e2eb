"""The chart: cost of a signature against the length of a batch, and against the number of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

from benches.ratios.chart import INK, STYLE  # before pyplot: it says that there is no display

from matplotlib import pyplot as plt  # isort: skip

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from .results import Against, Report

_LINES = {
    "pyca": ("pyca, one by one", "#d9772b"),
    "PyNaCl": ("PyNaCl, one by one", "#9a6bb5"),
    "dalek": ("dalek's batch, one verdict for all", "#c05a7e"),
    "cold": ("verify_many, cold keys", "#2f9e72"),
    "one key": ("verify_many, one key for all", "#b8a13a"),
    "expanded": ("verify_many, expanded keys", "#9bb8d6"),
    "cache": ("VerifyingKeyCache", "#3f83c8"),
}


def draw(report: Report, path: Path) -> None:
    """Write ``path.svg`` and ``path.png``."""
    batch_len = report.wrong[0].batch_len
    with mpl.rc_context(STYLE):
        canvas, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.3), sharey=True)
        _draw_lines(left, report, "batch")
        _draw_lines(right, report, "keys")
        left.set_xlabel("signatures in a batch, each of another key")
        right.set_xlabel(f"keys that batches of {batch_len:,} are drawn from")
        left.set_ylabel("µs for each signature (band: 10 % – 90 %)")
        handles, labels = left.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="upper center", frameon=False, ncols=3)
        canvas.tight_layout(rect=(0, 0, 1, 0.85))
        canvas.savefig(
            path.with_suffix(".svg"), transparent=True, metadata={"Date": None, "Creator": None}
        )
        canvas.savefig(path.with_suffix(".png"), transparent=True, dpi=160)
        plt.close(canvas)


def _draw_lines(axes: Axes, report: Report, against: Against) -> None:
    for name, (label, color) in _LINES.items():
        points = [one for one in report.points if (one.way, one.against) == (name, against)]
        if points:
            axes.plot(
                [one.count for one in points],
                [one.each_ns / 1_000 for one in points],
                color=color,
                label=label,
                linestyle="--" if name == "expanded" else "-",
                marker="o",
                markersize=4,
            )
            axes.fill_between(
                [one.count for one in points],
                [one.low_ns / 1_000 for one in points],
                [one.high_ns / 1_000 for one in points],
                color=color,
                alpha=0.18,
                linewidth=0,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_yticks([2, 5, 10, 20, 50, 100, 200, 500])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.grid(color=INK, alpha=0.22, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
