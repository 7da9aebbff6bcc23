"""Policies in plain Python: what they are told, what they may do, and one clear line for everything they may not."""

from __future__ import annotations

import textwrap
from pathlib import Path
from random import Random

import pytest
from contract.specs import PLAIN

from kernel_sim import BadPolicy, FrameManager, OutOfFrames, Zone, load_policy

GOOD = """
    class Good:
        def __init__(self, zone):
            self.free_frames = [pfn for first, end in zone.free_runs for pfn in range(first, end)]
        def alloc(self, n_frames):
            return self.free_frames.pop(0) if n_frames == 1 and self.free_frames else None
        def free(self, pfn, n_frames):
            self.free_frames += range(pfn, pfn + n_frames)
"""


def file_of(folder: Path, text: str) -> Path:
    """A policy's file."""
    path = folder / "mine.py"
    path.write_text(textwrap.dedent(text))
    return path


def one_line(error: pytest.ExceptionInfo[BadPolicy]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# -- loading --------------------------------------------------------------------------------------------------------------------------


def test_by_file_and_class(tmp_path: Path) -> None:
    spec = f"{file_of(tmp_path, GOOD)}:Good"
    manager = FrameManager(4, spec)
    assert manager.policy.name == spec
    assert [manager.alloc(1) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OutOfFrames):
        manager.alloc(1)


def test_by_class() -> None:
    class Lowest:
        def __init__(self, zone: object) -> None:
            self.zone = zone

        def alloc(self, n_frames: int) -> int:
            return 0

        def free(self, pfn: int, n_frames: int) -> None:
            pass

    manager = FrameManager(4, Lowest)
    assert manager.policy.name == "Lowest"
    assert manager.alloc(3) == 0


@pytest.mark.parametrize("text, complaint", [
    ("class Good:\n    pass\n", "no class 'Absent' in it"),
    ("Absent = 7\n", "no class 'Absent' in it"),
    ("class Absent(:\n", r"does not load: SyntaxError: .* \(line 1\)"),
    ("x = 1\n\nimport nothing_of_that_name\n", r"does not load: ModuleNotFoundError: No module named 'nothing_of_that_name' \(line 3 of mine.py\)"),
    ("1 / 0\n", r"does not load: ZeroDivisionError: division by zero \(line 1 of mine.py\)"),
    ("raise ValueError('two\\nlines')\n", r"does not load: ValueError: two \(line 1 of mine.py\)"),
    ("raise SystemExit(3)\n", "does not load: SystemExit: 3"),
    ("\0", "does not load: "),
])
def test_a_file_that_does_not_load(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(BadPolicy, match=complaint) as caught:
        load_policy(f"{path}:Absent")
    assert one_line(caught).startswith(f"policy {path}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match="absent.py: no such file$") as caught:
        load_policy(f"{tmp_path}/absent.py:Fit")
    one_line(caught)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(BadPolicy, match="no such file"):
        load_policy(f"{tmp_path}/folder.py:Fit")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.py"
    path.write_bytes(b"\x7fELF\xff\xfe\x00")
    with pytest.raises(BadPolicy, match="does not load") as caught:
        load_policy(f"{path}:Fit")
    one_line(caught)


def test_a_file_without_the_class_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, GOOD)
    with pytest.raises(BadPolicy, match=f"say which class of the file, as {path}:ClassName$"):
        load_policy(str(path))
    with pytest.raises(BadPolicy, match="no class '' in it"):
        load_policy(f"{path}:")


def test_files_of_the_same_name_are_different_policies(tmp_path: Path) -> None:
    for folder, first in (("one", 0), ("other", -1)):
        (tmp_path / folder).mkdir()
        file_of(tmp_path / folder, GOOD.replace("pop(0)", f"pop({first})"))
    assert [FrameManager(8, f"{tmp_path}/{folder}/mine.py:Good").alloc(1) for folder in ("one", "other")] == [0, 7]


# -- what they are told ---------------------------------------------------------------------------------------------------------------


class Diary:
    """Writes down what it is told; gives out single frames, the lowest first."""

    written: list[tuple[object, ...]] = []

    def __init__(self, zone: object) -> None:
        self.frames = [pfn for first, end in zone.free_runs for pfn in range(first, end)]  # type: ignore[attr-defined]
        self.written.append(("zone", zone.first_pfn, zone.end_pfn, zone.free_runs))  # type: ignore[attr-defined]

    def alloc(self, n_frames: int) -> int | None:
        self.written.append(("alloc", n_frames))
        return self.frames.pop(0) if self.frames and n_frames == 1 else None

    def free(self, pfn: int, n_frames: int) -> None:
        self.written.append(("free", pfn, n_frames))
        self.frames = sorted([*self.frames, *range(pfn, pfn + n_frames)])


def test_one_instance_a_zone_and_plain_numbers() -> None:
    Diary.written = []
    zones = [Zone("Low", ((1, 10), (12, 16)), reserved=((2, 4),)), Zone("High", ((20, 22),))]
    manager = FrameManager(zones, Diary, in_use=[(8, 10)])
    manager.alloc(1)
    manager.alloc(1)
    manager.alloc(1)
    with pytest.raises(OutOfFrames):
        manager.alloc(2)
    manager.free(8)
    manager.free(21)
    assert Diary.written == [
        ("zone", 1, 16, ((1, 2), (4, 8), (12, 16))), ("zone", 20, 22, ((20, 22),)),
        ("alloc", 1), ("alloc", 1),                     # of High, which is empty then:
        ("alloc", 1), ("alloc", 1),                     # asked in vain, and Low
        ("alloc", 2), ("alloc", 2),
        ("free", 8, 2), ("free", 21, 1),
    ]
    assert {type(value) for line in Diary.written for value in line[1:]} <= {int, tuple}


def test_refused_frees_do_not_reach_a_policy() -> None:
    Diary.written = []
    manager = FrameManager(4, Diary)
    for pfn in (0, 4, -1):
        with pytest.raises(Exception, match="frame"):
            manager.free(pfn)
    assert [line[0] for line in Diary.written] == ["zone"]


def test_steps_are_its_effort() -> None:
    manager = FrameManager(64, PLAIN)
    for pfn in [manager.alloc(4) for _ in range(8)][::2]:
        manager.free(pfn)
    before = manager.stats().examined
    manager.alloc(9)            # four holes of 4, then the rest
    assert manager.stats().examined - before == 5
    assert int(manager.events()[-1]["steps"]) == 5


class PowersOfTwo:
    """Rounds up, and never gives more than 8 at once."""

    def __init__(self, zone: object) -> None:
        self.next: int = zone.first_pfn  # type: ignore[attr-defined]

    def granted(self, n_frames: int) -> int:
        return 1 << (n_frames - 1).bit_length() if n_frames <= 8 else 0

    def alloc(self, n_frames: int) -> int:
        self.next += self.granted(n_frames)
        return self.next - self.granted(n_frames)

    def free(self, pfn: int, n_frames: int) -> None:
        pass


def test_one_that_rounds_up() -> None:
    manager = FrameManager(64, PowersOfTwo)
    assert [manager.alloc(n) for n in (3, 5, 1)] == [0, 4, 12]
    assert (manager.stats().requested, manager.stats().granted) == (9, 13)
    manager.check()
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(9)
    assert caught.value.reason == "limit"


# -- what they may not do -------------------------------------------------------------------------------------------------------------


def broken(method: str, body: str) -> str:
    """A policy with one method that does something wrong."""
    arguments = {"__init__": "self, zone", "alloc": "self, n_frames", "free": "self, pfn, n_frames", "granted": "self, n_frames", "check": "self"}
    methods = {"__init__": "pass", "alloc": "return 3", "free": "pass", method: body}
    return "class Wrong:\n" + "".join(f"    def {name}({arguments[name]}):\n        {text}\n" for name, text in methods.items())


@pytest.mark.parametrize("method, body, complaint", [
    ("__init__", "self.runs = zone.holes", r"AttributeError: 'PlainZone' object has no attribute 'holes' \(line 3 of mine.py\)"),
    ("__init__", "raise ValueError('two' + chr(10) + 'lines')", r"ValueError: two \(line 3 of mine.py\)"),
    ("alloc", "return n_frames / 0", r"alloc\(2\) raised ZeroDivisionError: division by zero \(line 5 of mine.py\)"),
    ("alloc", "raise KeyError", r"alloc\(2\) raised KeyError"),
    ("alloc", "return 'three'", "alloc returned 'three', which is not a whole number"),
    ("alloc", "return 3.0", "alloc returned 3.0, which is not a whole number"),
    ("alloc", "return [3]", r"alloc returned \[3\], which is not a whole number"),
    ("alloc", "return -1", r"alloc\(2\) returned -1, which is no frame of its zone \(0 to 64\)"),
    ("alloc", "return 64", r"alloc\(2\) returned 64, which is no frame of its zone \(0 to 64\)"),
    ("alloc", "return 1 << 80", "which is no frame of its zone"),
    ("alloc", "return 63", "gave out frame 0x3f"),
    ("alloc", "return 8", "gave out frame 0x8, which is allocated$"),
    ("alloc", "return 7", "gave out frame 0x8, which is allocated$"),
    ("alloc", "return 9", "gave out frame 0x9, which is inside an allocation$"),
    ("granted", "return 1", r"granted\(2\) returned 1, which is less"),
    ("granted", "return None", "granted returned None, which is not a whole number"),
    ("granted", "return -4", r"granted\(2\) returned -4, which is less"),
    ("granted", "raise RuntimeError('no')", r"granted\(2\) raised RuntimeError: no"),
])
def test_a_wrong_alloc(tmp_path: Path, method: str, body: str, complaint: str) -> None:
    spec = f"{file_of(tmp_path, broken(method, body))}:Wrong"
    with pytest.raises(BadPolicy, match=complaint) as caught:
        FrameManager(64, spec, in_use=[(8, 10)]).alloc(2)
    assert one_line(caught).startswith(f"policy {spec}")


def test_a_wrong_free(tmp_path: Path) -> None:
    manager = FrameManager(64, f"{file_of(tmp_path, broken('free', 'self.absent'))}:Wrong")
    manager.alloc(2)
    with pytest.raises(BadPolicy, match=r"free\(3, 2\) raised AttributeError: .*\(line 7 of mine.py\)$") as caught:
        manager.free(3)
    one_line(caught)


def test_a_wrong_check(tmp_path: Path) -> None:
    manager = FrameManager(64, f"{file_of(tmp_path, broken('check', 'assert False, self.__class__.__name__'))}:Wrong")
    with pytest.raises(BadPolicy, match=r"check\(\) raised AssertionError: Wrong \(line 9 of mine.py\)$"):
        manager.check()


def test_wrong_steps(tmp_path: Path) -> None:
    spec = f"{file_of(tmp_path, broken('__init__', 'self.steps = None'))}:Wrong"
    with pytest.raises(BadPolicy, match="steps returned None, which is not a whole number"):
        FrameManager(64, spec).alloc(1)


@pytest.mark.parametrize("missing", ["alloc", "free"])
def test_a_method_is_missing(tmp_path: Path, missing: str) -> None:
    path = file_of(tmp_path, broken("__init__", "pass").replace(f"def {missing}", "def something"))
    with pytest.raises(BadPolicy, match=f"Wrong: it has no method {missing}$"):
        FrameManager(64, f"{path}:Wrong")


def test_a_constructor_without_the_zone(tmp_path: Path) -> None:
    path = file_of(tmp_path, "class Wrong:\n    def __init__(self): pass\n")
    with pytest.raises(BadPolicy, match=r"TypeError: Wrong.__init__\(\) takes 1 positional argument but 2 were given$") as caught:
        FrameManager(64, f"{path}:Wrong")
    one_line(caught)


# -- the same placements ---------------------------------------------------------------------------------------------------------------


def test_plain_and_compiled_first_fit_agree() -> None:
    """To the frame, and to the number of holes examined."""
    manager, plain = (FrameManager(200, policy, in_use=[(90, 95)]) for policy in ("first-fit", PLAIN))
    assert play(manager, Random(7)) == play(plain, Random(7))
    assert manager.free_runs() == plain.free_runs()
    assert manager.stats().examined == plain.stats().examined
    manager.check()
    plain.check()


def play(manager: FrameManager, random: Random) -> list[int | None]:
    """600 operations: mostly more asked for than there is, and anything given back in any order."""
    live: list[int] = []
    placed: list[int | None] = []
    for _ in range(600):
        if live and random.random() < 0.45:
            manager.free(live.pop(random.randrange(len(live))))
            continue
        try:
            live.append(manager.alloc(random.randint(1, 12)))
            placed.append(live[-1])
        except OutOfFrames:
            placed.append(None)
    assert None in placed
    return placed
