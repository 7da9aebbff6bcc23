"""Internal fragmentation of binary buddies: how much rounding up to a power of two costs.

Source: J. L. Peterson and T. A. Norman, "Buddy systems", CACM 20(6), 1977. For requests uniform on 1 .. 2^k u with 1 <= u <= 2 and large k, a
binary buddy grants (4u - 8/3) / u^2 times what was asked for: 1.3333, 1.5, 1.4815 and 1.3333 at u = 1, 4/3, 3/2 and 2.

The sums over all sizes from 1 to N are exact here; the formula is their limit.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from kernel_sim import FrameManager

PUBLISHED = [(Fraction(1), "1.3333"), (Fraction(4, 3), "1.5000"), (Fraction(3, 2), "1.4815"), (Fraction(2), "1.3333")]


def limit(u: Fraction) -> Fraction:
    return (4 * u - Fraction(8, 3)) / u**2


def exact(largest: int) -> Fraction:
    """Granted over asked for when every size from 1 to `largest` is asked for once: 2^(k-1) sizes are rounded up to 2^k, for each k."""
    full = (largest - 1).bit_length() - 1 if largest > 1 else 0     # sizes up to 2^full
    granted = 1 + sum(2**k * 2 ** (k - 1) for k in range(1, full + 1)) + 2 ** (full + 1) * (largest - 2**full)
    return Fraction(granted, largest * (largest + 1) // 2)


@pytest.mark.parametrize("u, published", PUBLISHED, ids=str)
def test_the_limit_is_what_was_published(u: Fraction, published: str) -> None:
    assert f"{float(limit(u)):.4f}" == published
    assert f"{float(exact(int(2**30 * u))):.4f}" == published


def test_the_worst_case_is_at_four_thirds() -> None:
    assert max((limit(1 + Fraction(step, 300)), 1 + Fraction(step, 300)) for step in range(301)) == (Fraction(3, 2), Fraction(4, 3))


@pytest.mark.parametrize("policy", ["buddy", "buddy:order=address"])
@pytest.mark.parametrize("u", [u for u, _ in PUBLISHED], ids=str)
def test_through_the_manager(policy: str, u: Fraction) -> None:
    """Every size from 1 to 512 u, asked for and given back: the manager's count is the exact sum, within 1% of the limit."""
    manager = FrameManager(1024, policy)
    for n_frames in range(1, int(512 * u) + 1):
        manager.free(manager.alloc(n_frames))
    stats = manager.stats()
    ratio = Fraction(stats.granted, stats.requested)
    assert ratio == exact(int(512 * u))
    assert abs(ratio / limit(u) - 1) < Fraction(1, 100)
    assert stats.internal_fragmentation == pytest.approx(float(1 - 1 / ratio))


@pytest.mark.parametrize("policy", ["first-fit", "best-fit", "worst-fit", "next-fit"])
def test_a_fit_has_none(policy: str) -> None:
    manager = FrameManager(1024, policy)
    for n_frames in range(1, 1025):
        manager.free(manager.alloc(n_frames))
    assert manager.stats().internal_fragmentation == 0
