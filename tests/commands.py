"""Commands as a user gives them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kernel_sim.tools.cli import main


def report_of(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    """The JSON that a command prints."""
    ended = main([*arguments, "--json"])
    printed = capsys.readouterr()
    assert ended == status, (ended, printed.err)
    report = json.loads(printed.out)
    assert isinstance(report, dict), report
    return report
