"""The doors from the interpreter into the bookkeeping: the functions of `kernel_sim.ledger`, to be called from Python."""

from __future__ import annotations

from functools import lru_cache

from kernel_sim import users
from kernel_sim.allocators.base import Policy, Request
from kernel_sim.compiled import Array, bind, entry, interpreted
from kernel_sim.frames import words_at
from kernel_sim.ledger import ROOT_WORDS, State, bind_policy, far_share, open_state


class Entries:
    """`alloc`, `free` and `setup` of one policy's bookkeeping, to be called with a manager's root."""

    def __init__(self, policy: Policy) -> None:
        make, bound = interpreted if policy.in_interpreter else entry, bind_policy(policy)
        self.alloc = make(bind(_alloc, policy.name, bound_alloc=bound.alloc))
        self.free = make(bind(_free, policy.name, bound_free=bound.free))
        self.setup = make(bind(_setup, policy.name, bound_setup=bound.setup))


@lru_cache(maxsize=32)
def entries_for(policy: Policy) -> Entries:
    """Made once for all managers of a policy: fetching machine code from the disk takes a hundred times as long as the rest of a manager."""
    return Entries(policy)


def bound_alloc(state: State, request: Request) -> int:
    raise NotImplementedError


def bound_free(state: State, pfn: int, request: Request) -> int:
    raise NotImplementedError


def bound_setup(state: State, zone: int, firsts: Array, ends: Array) -> None:
    raise NotImplementedError


def _alloc(root: Array, n_frames: int, owner: int, cpu: int, mobility: int) -> int:
    return bound_alloc(open_state(root), Request(n_frames, owner, cpu, mobility))


def _free(root: Array, pfn: int, n_frames: int, owner: int) -> int:
    return bound_free(open_state(root), pfn, Request(n_frames, owner, 0, 0))


@entry
def share(root: int, pfn: int, owner: int) -> int:
    """`ledger.far_share`, which no policy has a part in: one for all."""
    return far_share(root, pfn, owner)


@entry
def holds(root: int, pfn: int, owner: int) -> bool:
    """`users.holds`, likewise. Both take the root's address."""
    state = open_state(words_at(root, ROOT_WORDS))
    return users.holds(state.table, state.users, pfn, owner)


def _setup(root: Array, zone: int, firsts: Array, ends: Array) -> None:
    bound_setup(open_state(root), zone, firsts, ends)
