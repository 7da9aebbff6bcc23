"""The contract as games: what is played with a policy, on a memory and with operations that somebody chose.

Each raises `BrokenLaw` when the policy does not keep to it. The tests play them over every policy there is, with Hypothesis' memories and operations;
``kernel-sim check`` plays the same with anybody's.
"""

from __future__ import annotations

from collections.abc import Callable

from kernel_sim.allocators.base import Policy
from kernel_sim.errors import OutOfFrames
from kernel_sim.study.contract.driver import OWNERS, Driver
from kernel_sim.study.contract.laws import held_to, require
from kernel_sim.study.contract.memories import Memory, Operation

Game = Callable[[Driver, list[Operation]], None]


def books(driver: Driver, operations: list[Operation]) -> None:
    """Every operation, every figure compared after each."""
    driver.perform(operations)


def last_user(driver: Driver, operations: list[Operation]) -> None:
    """Allocations with many users; then each of them gives back what he has, the latest first, and the frames are free with the last."""
    driver.perform(operations)
    for allocation in driver.books.live:
        users = [owner for owner, count in allocation.users.items() for _ in range(count)]
        for n_left, owner in reversed(list(enumerate(users))):
            driver.free(allocation.first, None, owner)
            had = any(driver.manager.holds(allocation.first, somebody) for somebody in range(OWNERS))
            require(had == (n_left > 0) == (allocation.first not in driver.books.free), "last user")
    driver.compare()


def nothing_lost(driver: Driver, operations: list[Operation]) -> None:
    """Whatever came before: when all is freed, every frame that is not reserved can be had, one by one, and given back again."""
    for operation in operations:
        driver.act(operation)
    for allocation in driver.books.live:
        driver.free(allocation.first, None)
    driver.compare()
    require(driver.books.free == driver.books.exists - driver.books.reserved, "nothing lost")
    manager, n_frames = driver.manager, len(driver.books.free)
    driver.begin(f"alloc 1, {n_frames} times")
    given_out = [single_frame(driver) for _ in range(n_frames)]
    require(set(given_out) == driver.books.free, "nothing lost")
    with held_to("audit"):
        manager.check()
    try:
        manager.alloc(1)
    except OutOfFrames as failure:
        require("0 free" in str(failure), "no refusal without a reason", str(failure))
    else:
        require(False, "own frames", "a frame is given out when none is left")
    driver.begin(f"free 1, {n_frames} times")
    for pfn in given_out:
        with held_to("no nonsense"):
            manager.free(pfn)
    with held_to("audit"):
        manager.check()
    require(manager.stats().n_free == n_frames, "nothing lost")


def single_frame(driver: Driver) -> int:
    try:
        with held_to("no nonsense"):
            return int(driver.manager.alloc(1))
    except OutOfFrames as failure:
        require(False, "nothing lost", str(failure))
        raise


def same_twice(policy: str | type | Policy, memory: Memory, operations: list[Operation]) -> None:
    """Same operations, same frames, same events."""
    one, other = Driver(policy, memory), Driver(policy, memory)
    for operation in operations:
        one.act(operation)
        other.act(operation)
    require(one.manager.events().tobytes() == other.manager.events().tobytes(), "same twice")
    require(one.manager.table.frames.tobytes() == other.manager.table.frames.tobytes(), "same twice")
