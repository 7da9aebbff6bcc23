"""Pictures of a memory, and its map in every other form that a file can have: `write_map`.

`cells` counts what there is of each state; `terminal` draws that with characters; `layout` lays it out on a `sheet`, with words
from `legend`, colours from `palette` and the order of a `curve`; `png` and `svg` put the sheet down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kernel_sim.errors import BadInput
from kernel_sim.study import framemap as maps
from kernel_sim.study import sealed
from kernel_sim.study.drawing.curve import CURVES
from kernel_sim.study.formats import buddyinfo, kpageflags
from kernel_sim.study.framemap import FrameMap
from kernel_sim.study.ownership import OwnedMap

DEFAULT_CURVE = CURVES[0]
_MAX_KPAGEFLAGS_FRAMES = 1 << 28


def write_map(framemap: FrameMap, path: str | Path, curve: str = DEFAULT_CURVE, owned: OwnedMap | None = None) -> None:
    """Write a map whole or not at all, in the form that the file's suffix names: one of `SUFFIXES`. BadInput for any other.

    `curve`, ``hilbert`` or ``row``, is the order of the cells in a picture. `owned`, of which `framemap` is the map, colours the used frames of
    pictures by their owner.
    """
    check_suffix(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".ksmap":
        maps.save(framemap, path)
    else:
        sealed.write_whole(path, _FORMS[suffix](framemap, curve, owned))


def check_suffix(path: str | Path) -> None:
    """BadInput unless `write_map` knows the file's suffix: for saying so before any long work begins."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path}: a map is written by its suffix, one of {' '.join(SUFFIXES)}")


def _png(framemap: FrameMap, curve: str, owned: OwnedMap | None) -> bytes:
    from kernel_sim.study.drawing.layout import lay_out
    from kernel_sim.study.drawing.png import to_png

    return to_png(lay_out(framemap, curve, owned=owned))


def _svg(framemap: FrameMap, curve: str, owned: OwnedMap | None) -> bytes:
    from kernel_sim.study.drawing import svg
    from kernel_sim.study.drawing.layout import lay_out

    return svg.to_svg(lay_out(framemap, curve, svg.MAX_SIDE, owned)).encode()


def _txt(framemap: FrameMap, curve: str, owned: OwnedMap | None) -> bytes:
    from kernel_sim.study.drawing.terminal import render_terminal

    return render_terminal(framemap, owned=owned).encode()


def _json(framemap: FrameMap, curve: str, owned: OwnedMap | None) -> bytes:
    return maps.to_json(framemap).encode()


def _buddyinfo(framemap: FrameMap, curve: str, owned: OwnedMap | None) -> bytes:
    return buddyinfo.to_text(buddyinfo.lines_of(framemap.buddyinfo())).encode()


def _kpageflags(framemap: FrameMap, curve: str, owned: OwnedMap | None) -> bytes:
    if framemap.n_frames > _MAX_KPAGEFLAGS_FRAMES:
        raise BadInput(f"{framemap.n_frames} frames are too many to write as kpageflags, eight bytes each; .ksmap takes any")
    return kpageflags.to_bytes(framemap.codes())


_FORMS: dict[str, Callable[[FrameMap, str, OwnedMap | None], bytes]] = {
    ".png": _png, ".svg": _svg, ".txt": _txt, ".json": _json, ".buddyinfo": _buddyinfo, ".kpageflags": _kpageflags,
}
SUFFIXES = (*_FORMS, ".ksmap")
