"""Traces: what they hold, what they refuse, the file they live in, and those that come with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.data import make
from kernel_sim.errors import BadInput
from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study import sealed
from kernel_sim.study.framemap import FrameMap
from kernel_sim.study.slots import operations
from kernel_sim.study.trace import MAGIC, VERSION, Trace, bundled
from kernel_sim.units import MAX_FRAMES

DATA = Path(__file__).parent / "data" / "kernel"
LINE = b"            init-1       [002] .....     3.119267: mm_page_free: page=ffffea000018d300 pfn=0x634c order=0\n"


def small(**others: object) -> Trace:
    return replace(Trace.of([ALLOC, FREE], [4, 4], [8, 8], name="small"), **others)  # type: ignore[arg-type]


def test_columns_are_of_one_type_and_read_only() -> None:
    trace = small()
    assert [trace.kind.dtype, trace.n_frames.dtype, trace.pfn.dtype] == [np.uint8, np.uint32, np.int64]
    assert (len(trace), trace.end_pfn, trace.owners) == (2, 12, ("",))
    with pytest.raises(ValueError, match="read-only"):
        trace.pfn[0] = 1


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"kind": [1, 3]}, "event 2 of a trace is neither an allocation nor a free"),
        ({"n_frames": [0, 1]}, "event 1 of a trace is of no frames"),
        ({"pfn": [0, -1]}, f"event 2 of a trace names frames outside 0 to {MAX_FRAMES:#x}"),
        ({"pfn": [MAX_FRAMES - 3, 0]}, f"event 1 of a trace names frames outside 0 to {MAX_FRAMES:#x}"),
        ({"pfn": [(1 << 63) - 1, 0]}, f"event 1 of a trace names frames outside 0 to {MAX_FRAMES:#x}"),
        ({"owner": [0, 1]}, "event 2 of a trace is of an owner without a name"),
        ({"pfn": [1]}, "a trace of 2 events has 1 in its column pfn"),
        ({"cpu": [0, 65536]}, "a trace's column cpu holds numbers from 0 to 65535, not 0 to 65536"),
        ({"pfn": [0.5, 1]}, "a trace's column pfn is a row of whole numbers"),
        ({"memory_map": [(5, 5)]}, "a trace's memory map: the range 0x5 to 0x5 is empty"),
        ({"owners": (1,)}, "a trace and its owners are named by text"),
    ],
)
def test_refused(wrong: dict[str, object], what: str) -> None:
    with pytest.raises(BadInput) as refused:
        small(
            **{
                name: np.array(value) if name in ("kind", "n_frames", "pfn", "cpu", "owner") else value
                for name, value in wrong.items()
            }
        )
    assert str(refused.value) == what


EVENT = st.tuples(
    st.sampled_from((ALLOC, FREE)),
    st.integers(1, 5000),
    st.integers(0, MAX_FRAMES - 5000),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.integers(0, 2),
    st.integers(-(1 << 40), 1 << 40),
)


@given(
    st.lists(EVENT, max_size=20),
    st.none() | st.just(((1, 5), (7, 9))),
    st.none() | st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.none() | st.integers(1, MAX_FRAMES),
)
def test_a_file_gives_back_what_was_saved(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[int, ...]],
    memory_map: tuple[tuple[int, int], ...] | None,
    codes: list[int] | None,
    plain_frames: int | None,
) -> None:
    names = ("kind", "n_frames", "pfn", "mobility", "cpu", "owner", "time_us")
    columns = {name: np.array([event[i] for event in events], np.int64) for i, name in enumerate(names)}
    start = None if codes is None else FrameMap.from_codes(np.array(codes, np.uint8))
    trace = Trace(**columns, owners=("a-1", "b: c-2", "ü\n"), name="n", memory_map=memory_map, start=start, plain_frames=plain_frames)
    path = tmp_path_factory.mktemp("trace") / "file"
    trace.save(path)
    loaded = Trace.load(path)
    assert loaded == trace
    assert all(getattr(loaded, name).tolist() == [event[i] for event in events] for i, name in enumerate(names))
    loaded.save(path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


def test_traces_differ() -> None:
    assert small() == small()
    for other in (
        small(name="other"),
        small(cpu=[0, 1]),
        small(memory_map=((0, 99),)),
        small(plain_frames=99),
        replace(small(), owners=("x",)),
        small(start=FrameMap.from_codes(np.ones(20, np.uint8))),
    ):
        assert small() != other


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "t.kstrace"
    small(start=FrameMap.from_codes(np.ones(20, np.uint8))).save(path)
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:40], whole[:60] + b"x" + whole[61:], MAGIC):
        path.write_bytes(data)
        with pytest.raises(BadInput, match=r"t\.kstrace: damaged"):
            Trace.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"owners": None},
        {"owners": [1]},
        {"name": 7},
        {"memory_map": 5},
        {"memory_map": [[2, 1]]},
        {"memory_map": [[1]]},
        {"plain_frames": 0},
        {"plain_frames": "many"},
        {"plain_frames": 1.5},
        {"start": {}},
        {"start": {"n_frames": 21, "zones": []}},
        {"start": {"n_frames": 20, "zones": [["a", 0, 99]]}},
    ],
)
def test_files_that_say_nonsense(tmp_path: Path, change: dict[str, object]) -> None:
    """A whole file with a right checksum, made by a wrong program."""
    path = tmp_path / "t.kstrace"
    small(start=FrameMap.from_codes(np.ones(20, np.uint8))).save(path)
    header, columns = sealed.read(path, path.read_bytes(), MAGIC, VERSION)
    sealed.write(path, MAGIC, VERSION, {**header, **change}, columns)
    with pytest.raises(BadInput, match=r"t\.kstrace: damaged: "):
        Trace.load(path)


@pytest.mark.parametrize("column", ["kind", "pfn", "owner", "start_length", "start_kind"])
def test_files_without_a_column(tmp_path: Path, column: str) -> None:
    path = tmp_path / "t.kstrace"
    small(start=FrameMap.from_codes(np.ones(20, np.uint8))).save(path)
    header, columns = sealed.read(path, path.read_bytes(), MAGIC, VERSION)
    for wrong in (
        {name: values for name, values in columns.items() if name != column},
        {**columns, column: columns[column][:0]},
        {**columns, column: columns[column].astype(np.int64) - 77},
    ):
        sealed.write(path, MAGIC, VERSION, header, wrong)
        with pytest.raises(BadInput, match=r"t\.kstrace: damaged: "):
            Trace.load(path)


def test_load_tells_files_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text is imported at once; a file in the working folder that has a bundled trace's name is the file."""
    path = tmp_path / "text.kstrace"
    path.write_bytes(LINE)
    assert Trace.load(path).pfn.tolist() == [0x634C]
    monkeypatch.chdir(tmp_path)
    assert len(Trace.load("tiny")) > 1000
    (tmp_path / "tiny").write_bytes(LINE)
    assert len(Trace.load("tiny")) == 1
    with pytest.raises(BadInput, match="nothing: No such file"):
        Trace.load("nothing")


# From the recordings' README: frames that were free when the trace began.
FREE_AT_START = {"tiny": 8304, "frag": 13399, "huge": 47022, "mixed": 38294}


@pytest.mark.parametrize("name", make.RECORDINGS)
def test_bundled_traces(name: str) -> None:
    """They carry the machine's memory and its state, and every event is of memory that the machine had."""
    trace = Trace.load(name)
    assert (trace.name, trace.start is not None, trace.memory_map is not None) == (name, True, True)
    assert trace.start is not None and trace.start.counts[3] == FREE_AT_START[name]
    assert operations(trace, trace.start, trace.memory_map).allocs == int((trace.kind == ALLOC).sum())


def test_there_are_no_others() -> None:
    assert bundled() == sorted(make.RECORDINGS)


@pytest.mark.parametrize("name", make.RECORDINGS)
def test_bundled_traces_can_be_made_again(tmp_path: Path, name: str) -> None:
    """Byte for byte, from the recordings."""
    make.bundle(DATA / make.RECORDINGS[name], name).save(tmp_path / "again")
    packaged = Path(make.__file__).parent / f"{name}.kstrace"
    assert (tmp_path / "again").read_bytes() == packaged.read_bytes()
    assert packaged.stat().st_size < 200_000
