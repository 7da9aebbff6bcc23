"""Fragmentation over time as a picture: four panels over the operations. The only file that imports matplotlib.

Equal samples make equal bytes: nothing of the time, of the user's own matplotlib settings or of an earlier picture gets into them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernel_sim.errors import BadInput
from kernel_sim.study import sealed
from kernel_sim.study.drawing.palette import CLASS_COLOURS, FAINT_INK, INK, PAPER, RULE, hex_of
from kernel_sim.study.metrics import Samples
from kernel_sim.study.runs import FREE, RESERVED, USED
from kernel_sim.units import FRAME_BYTES, N_ORDERS, format_size

SUFFIXES = (".svg", ".png")
_SIZE_INCHES, _DPI = (10, 12), 100
_SETTINGS = {
    "font.family": "DejaVu Sans", "font.size": 10, "svg.hashsalt": "kernel_sim", "svg.fonttype": "path", "axes.edgecolor": hex_of(RULE),
    "axes.labelcolor": hex_of(INK), "text.color": hex_of(INK), "xtick.color": hex_of(FAINT_INK), "ytick.color": hex_of(FAINT_INK),
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": hex_of((232, 232, 237)), "grid.linewidth": 0.8,
    "axes.axisbelow": True, "lines.linewidth": 1.4, "legend.frameon": False, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.titlesize": 11, "axes.xmargin": 0.0, "figure.facecolor": hex_of(PAPER), "axes.facecolor": hex_of(PAPER),
}
_USED, _PADDING, _FREE = (hex_of(CLASS_COLOURS[place]) for place in (USED, RESERVED, FREE + 8))
_SHOWN_ORDERS = tuple(range(1, N_ORDERS))


def check(path: str | Path) -> None:
    """BadInput unless a plot can be written in the form of that suffix here: for saying so before any long work begins."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path}: a plot is written by its suffix, one of {' '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise BadInput(f"{path}: plots are drawn by matplotlib, which is not installed: pip install 'kernel_sim[plot]'") from None


def write_plot(samples: Samples, path: str | Path, title: str) -> None:
    """Write the picture, as SVG or PNG by the suffix, whole or not at all."""
    check(path)
    sealed.write_whole(path, render(samples, Path(path).suffix.lower().removeprefix("."), title))


def render(samples: Samples, form: str, title: str) -> bytes:
    """The picture's bytes; `form` is ``svg`` or ``png``."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    data = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, wrap=True)
        panels = figure.subplots(len(_PANELS), 1, sharex=True, height_ratios=(3, 4, 3, 2))
        for draw, panel in zip(_PANELS, panels, strict=True):
            draw(samples, panel)
        panels[-1].set_xlabel("operations")
        panels[-1].xaxis.set_major_formatter("{x:,.0f}")
        canvas = (FigureCanvasSVG if form == "svg" else FigureCanvasAgg)(figure)
        canvas.print_figure(data, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return data.getvalue()


def _memory(samples: Samples, panel: Any) -> None:
    """Frames in use, with the padding on top of what was asked for, up to all there are."""
    x, used, padding = (samples.column(name) for name in ("operation", "used_frames", "padding_frames"))
    total = samples.rows[0][1] + samples.rows[0][2]
    asked = [both - extra for both, extra in zip(used, padding, strict=True)]
    panel.fill_between(x, 0, asked, color=_USED, linewidth=0, label="asked for")
    if any(padding):
        panel.fill_between(x, asked, used, color=_PADDING, linewidth=0, label="padding")
    panel.set(title=f"Frames in use, of {total:,} ({format_size(int(total) * FRAME_BYTES)})", ylim=(0, total))
    panel.yaxis.set_major_formatter("{x:,.0f}")
    _legend(panel)


def _indices(samples: Samples, panel: Any) -> None:
    """Internal and external fragmentation, and the unusable index of each order but 0, for which it is always 0 while anything is free."""
    x = samples.column("operation")
    for order in _SHOWN_ORDERS:
        index = [value / 1000 for value in samples.column(f"unusable_index_{order}")]
        panel.plot(x, index, color=hex_of(CLASS_COLOURS[FREE + order]), linewidth=1.0, label=f"unusable for order {order}")
    panel.plot(x, samples.column("internal_fragmentation"), color=_PADDING, label="internal")
    panel.plot(x, samples.column("external_fragmentation"), color=_USED, label="external: not in the largest run")
    panel.set(title="Fragmentation, as a share", ylim=(-0.02, 1.02))
    _legend(panel)


def _runs(samples: Samples, panel: Any) -> None:
    """Free runs and the largest of them, on a scale of powers of ten."""
    x = samples.column("operation")
    for name, label, colour in (("holes", "holes", _USED), ("largest_free_run", "frames in the largest free run", _FREE),
                                ("free_huge_frames", "free huge frames", _PADDING)):
        panel.plot(x, samples.column(name), color=colour, label=label)
    panel.set_yscale("symlog", linthresh=1)
    panel.set(title="Free runs", ylim=(0, None))
    panel.yaxis.set_major_formatter("{x:,.0f}")
    _legend(panel)


def _effort(samples: Samples, panel: Any) -> None:
    """Steps for each operation since the sample before."""
    panel.step(samples.column("operation"), samples.column("steps_per_operation"), where="pre", color=_FREE)
    panel.set(title="Steps per operation", ylim=(0, None))


def _legend(panel: Any) -> None:
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)


_PANELS: tuple[Callable[[Samples, Any], None], ...] = (_memory, _indices, _runs, _effort)
