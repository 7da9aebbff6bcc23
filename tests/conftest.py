"""How the tests are run: Hypothesis' profiles.

``HYPOTHESIS_PROFILE`` chooses one: *default* tries the same examples every time, so that a failure is the same for everybody; *quick* fewer of
them, for slow ways of running the code; *more* twice as many, as continuous integration does; *thorough* many, other ones every time. A failure
prints the blob that replays it (``@reproduce_failure``), and the head of the report names the profile.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("KERNEL_SIM_SANITIZE", "1")       # every guest is watched, unless its test says otherwise
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")

pytest.register_assert_rewrite("segments_game", "ftrace_texts", "commands")

# No deadline, and no complaint of slowness: the first example waits for the compiler.
_COMMON = settings(deadline=None, print_blob=True, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _COMMON, max_examples=20, derandomize=True)
settings.register_profile("more", _COMMON, max_examples=40, derandomize=True)
settings.register_profile("quick", _COMMON, max_examples=6, derandomize=True)
settings.register_profile("thorough", _COMMON, max_examples=1000, derandomize=False)
settings.load_profile(PROFILE)


def hear_interrupts() -> None:
    """For `preexec_fn`: a child that hears SIGINT, also where the tests themselves run in the background and do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def heard_interrupts() -> Iterator[None]:
    """SIGINT is heard here, too, and by Python's own handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_report_header(config: pytest.Config) -> str:
    """What to repeat a run with: the profile, and how the compiled code runs."""
    numba = " ".join(f"{name}={os.environ[name]}" for name in ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK") if name in os.environ)
    return f"HYPOTHESIS_PROFILE={PROFILE} {numba}".rstrip()
