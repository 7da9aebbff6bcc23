"""Workloads: traces that nobody recorded, made of distributions and a seed.

`spec` reads the description, a line of text or a TOML file; `sizes` and `lifetimes` hold what can be drawn from; `processes` says who
comes and goes, and `llfree` plays one published protocol; `generator` makes a `Trace` of it. All chance is PCG64's, and every number is
made of its uniform ones by a formula that stands here: equal specs make equal bytes.
"""

from kernel_sim.study.workload.generator import generate, marks
from kernel_sim.study.workload.spec import Workload, describe, load, parse

__all__ = ["Workload", "describe", "generate", "load", "marks", "parse"]
