"""The manager's bookkeeping, compiled: check, delegate to the policy, claim in the frame table, record the event.

`alloc` and `free` are written once and made anew for every policy (`kernel_sim.compiled.bind`), with the policy's functions in the place of
the four that are named ``policy_…`` here. The guest's hypercalls, a replay and the Python API all come through them.

The arrays of a running manager are found through its *root*, an array of addresses and lengths that the interpreter and the engine can
both pass; `open_state` turns it into arrays without reference counts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from kernel_sim import events
from kernel_sim.allocators.base import N_TALLIES, Policy, Request
from kernel_sim.compiled import Array, array_view, bind, compiled, int64, interpreted, outlined
from kernel_sim.events import BAD_COUNT, BROKEN, EVENT, NOT_ALLOCATED, OK, OUT_OF_FRAMES, RING_EVENTS, SHARED, TOO_MANY_USERS
from kernel_sim.frames import NO_FRAMES, Table, bytes_at, claim, end_of_free, frame, frames_at, shorts_at, vacate, words_at
from kernel_sim.users import USER, double, drop, end_of_drop, head_of, is_full, share, unshareable, users_at, who_leaves

ZONE = np.dtype([
    ("first", "<i8"), ("end", "<i8"),
    ("n_frames", "<i8"), ("n_free", "<i8"),     # frames for hire: those that exist and are not reserved
    ("words", "<i8"), ("n_words", "<i8"),   # where the policy's own words are, and how many
])

# Counters: the policy's three tallies (allocators.base), then the manager's.
# N_SHARED are frames with more than one user, N_USERS the entries of the table of users.
CLOCK, N_ALLOCS, N_FAILED, N_REFUSED, REQUESTED, GRANTED, WITNESS, N_SHARES, N_SHARED, N_USERS = range(N_TALLIES, N_TALLIES + 10)
N_COUNTERS = N_TALLIES + 10

USER_BYTES = USER.itemsize

# The root: addresses and lengths; R_ROOT is its own address, for what is called by numbers only.
R_FRAMES, R_N_FRAMES, R_TOUCHED, R_N_TOUCHED, R_ZONES, R_N_ZONES, R_COUNTERS, R_RING, R_REFERENCES = range(9)
R_USERS, R_N_USERS, R_MOST_USERS, R_ROOT = range(9, 13)
ROOT_WORDS = 13


class State(NamedTuple):
    """All of a manager's arrays, and the address of its root."""

    table: Table
    zones: Array
    counters: Array
    ring: Array
    users: Array
    root: int


zones_at = array_view(ZONE)
ring_at = array_view(EVENT)


@compiled
def open_state(root: Array) -> State:
    table = Table(frames_at(root[R_FRAMES], root[R_N_FRAMES]), bytes_at(root[R_TOUCHED], root[R_N_TOUCHED]),
                  shorts_at(root[R_REFERENCES], root[R_N_FRAMES]))
    return State(table, zones_at(root[R_ZONES], root[R_N_ZONES]), words_at(root[R_COUNTERS], N_COUNTERS), ring_at(root[R_RING], RING_EVENTS),
                 users_of(root), root[R_ROOT])


@compiled
def users_of(root: Array) -> Array:
    """The table of users, which moves as it grows."""
    return users_at(root[R_USERS], root[R_N_USERS])


@compiled
def policy_open(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> Any:
    raise NotImplementedError


@compiled
def policy_granted(area: Any, n_frames: int) -> int:
    raise NotImplementedError


@compiled
def policy_alloc(area: Any, request: Request) -> int:
    raise NotImplementedError


@compiled
def policy_free(area: Any, pfn: int, request: Request) -> None:
    raise NotImplementedError


@compiled
def area_of(state: State, zone: int) -> Any:
    """What the policy sees of a zone."""
    record = state.zones[zone]
    return policy_open(state.table.frames, record["words"], record["n_words"], state.counters, record["first"], record["end"])


@compiled
def steps(counters: Array) -> int:
    """The policy's effort so far."""
    return int64(counters[0] + counters[1] + counters[2])


@compiled
def record(state: State, kind: int, status: int, request: Request, pfn: int, granted: int, steps_before: int) -> None:
    """Write the event that has just come to pass."""
    number = state.counters[CLOCK]
    event = state.ring[number & (RING_EVENTS - 1)]
    event["number"] = number & 0xFFFF_FFFF
    event["kind"] = kind
    event["status"] = status
    event["owner"] = request.owner
    event["pfn"] = pfn
    event["n_frames"] = request.n_frames & 0xFFFF_FFFF
    event["granted"] = granted
    event["steps"] = steps(state.counters) - steps_before
    event["cpu"] = request.cpu
    event["mobility"] = request.mobility


@compiled
def alloc(state: State, request: Request) -> int:
    """Give out frames: the pfn of the first, or minus a status. The highest zone that can serve does."""
    counters = state.counters
    counters[CLOCK] += 1
    steps_before = steps(counters)
    status, found, granted = int64(OUT_OF_FRAMES), int64(NO_FRAMES), int64(0)
    if request.n_frames < 1:
        status = int64(BAD_COUNT)
    else:
        for zone in range(len(state.zones) - 1, -1, -1):
            area = area_of(state, zone)
            granted = policy_granted(area, request.n_frames)
            if granted > 0:
                found = policy_alloc(area, request)
                if found != NO_FRAMES:
                    status = settle(state, zone, request, found, granted)
                    break
    if status != OK:
        counters[N_FAILED] += 1
        found, granted = int64(NO_FRAMES), int64(0)
    record(state, events.ALLOC, status, request, found, granted, steps_before)
    return found if status == OK else -status


@compiled
def settle(state: State, zone: int, request: Request, pfn: int, granted: int) -> int:
    """Enter what the policy gave out into the books: OK, or BROKEN when it was not the policy's to give."""
    zones, counters = state.zones, state.counters
    if granted < request.n_frames or pfn < zones[zone]["first"] or pfn + granted > zones[zone]["end"]:
        counters[WITNESS] = pfn
        return int64(BROKEN)
    taken = claim(state.table, pfn, request.n_frames, granted, request.owner, counters[CLOCK] & 0xFFFF_FFFF)
    if taken != NO_FRAMES:
        counters[WITNESS] = taken
        return int64(BROKEN)
    zones[zone]["n_free"] -= granted
    counters[N_ALLOCS] += 1
    counters[REQUESTED] += request.n_frames
    counters[GRANTED] += granted
    return int64(OK)


@compiled
def entitled(state: State, pfn: int, owner: int) -> bool:
    """Whether an owner may free frames that are not shared: his own; owner 0 is nobody in particular, and may free any."""
    return bool(owner == 0 or frame(state.table.frames, pfn)["owner"] == owner)


@compiled
def anybody(state: State, pfn: int, owner: int) -> bool:
    """The same where a free only tells who asked, as in a trace: processes give back each other's frames there."""
    return True


@compiled
def free(state: State, pfn: int, request: Request) -> int:
    """Take frames back, all of the allocation when ``request.n_frames`` is 0: OK, or the status of the refusal, which changes nothing.

    Of a shared allocation the user who frees lets go, and all frames stay with the others.
    """
    counters = state.counters
    counters[CLOCK] += 1
    steps_before = steps(counters)
    end, status = end_of_free(state.table, pfn, request.n_frames)
    if status == OK and not entitled(state, pfn, request.owner):
        end, status = pfn, int64(NOT_ALLOCATED)
    if status != OK:
        counters[WITNESS] = end
        if status == SHARED:
            status = let_go(state.root, pfn, request.n_frames, request.owner)
        counters[N_REFUSED] += status != OK
        record(state, events.FREE, status, request, pfn, 0, steps_before)
        return status
    end = vacate(state.table, pfn, end, counters[CLOCK] & 0xFFFF_FFFF)
    for zone in range(len(state.zones)):        # what was in use at the start may reach over the edge of a zone
        first_here = max(pfn, state.zones[zone]["first"])
        end_here = min(end, state.zones[zone]["end"])
        if first_here < end_here:
            part = Request(end_here - first_here, request.owner, request.cpu, request.mobility)
            policy_free(area_of(state, zone), first_here, part)
            state.zones[zone]["n_free"] += end_here - first_here
    record(state, events.FREE, OK, request, pfn, end - pfn, steps_before)
    return int64(OK)


@outlined
def let_go(root: int, pfn: int, n_frames: int, owner: int) -> int:
    """A user gives a shared allocation back, and the others keep it: OK, or the status of the refusal, which changes nothing."""
    state = open_state(words_at(root, ROOT_WORDS))
    table, users, counters = state.table, state.users, state.counters
    head = head_of(table.frames, pfn)
    leaver = who_leaves(table.frames, users, head, owner)
    witness, status = end_of_drop(table.frames, users, pfn, n_frames, head, leaver)
    if status != OK:
        counters[WITNESS] = witness
        return int64(status)
    n_entries, n_single = drop(table, users, head, leaver)
    counters[N_USERS] -= n_entries
    counters[N_SHARED] -= n_single
    return int64(OK)


@compiled
def has_room(root: Array, n_users: int) -> bool:
    """Whether two more users can be entered, in a larger table if need be."""
    users = users_of(root)
    if not is_full(users, n_users):
        return True
    if len(users) == root[R_MOST_USERS]:
        return False
    root[R_USERS] += len(users) * USER_BYTES
    root[R_N_USERS] *= 2
    double(users, users_of(root))
    return True


@outlined
def far_share(root: int, pfn: int, owner: int) -> int:
    """One more use, by `owner`, of the allocation that begins at a frame: how many uses it has now, or minus the status of the refusal."""
    state = open_state(words_at(root, ROOT_WORDS))
    table, counters = state.table, state.counters
    counters[CLOCK] += 1
    status, n_uses = int64(unshareable(table, pfn)), int64(0)
    if status == OK and not has_room(words_at(root, ROOT_WORDS), counters[N_USERS]):
        status = int64(TOO_MANY_USERS)
    if status == OK:
        n_entries, n_shared = share(table, users_of(words_at(root, ROOT_WORDS)), pfn, owner)
        n_uses = int64(table.references[pfn]) + 1
        counters[N_SHARES] += 1
        counters[N_USERS] += n_entries
        counters[N_SHARED] += n_shared
    else:
        counters[WITNESS] = pfn
        counters[N_REFUSED] += 1
    record(state, events.SHARE, status, Request(n_uses, owner, int64(0), int64(0)), pfn, 0, steps(counters))
    return n_uses if status == OK else -status


@compiled
def policy_setup(area: Any, firsts: Array, ends: Array) -> None:
    raise NotImplementedError


@compiled
def setup(state: State, zone: int, firsts: Array, ends: Array) -> None:
    """Tell the policy what is free in a zone at the start."""
    policy_setup(area_of(state, zone), firsts, ends)


@compiled
def alloc_at(root: int, n_frames: int, owner: int, cpu: int, mobility: int) -> int:
    """`alloc`, by the address of the root."""
    return alloc(open_state(words_at(root, ROOT_WORDS)), Request(n_frames, owner, cpu, mobility))


@compiled
def free_at(root: int, pfn: int, n_frames: int, owner: int) -> int:
    """`free`, likewise."""
    return free(open_state(words_at(root, ROOT_WORDS)), pfn, Request(n_frames, owner, int64(0), int64(0)))


@compiled
def far_free(root: int, pfn: int, n_frames: int) -> int:
    """`free_at`, by nobody in particular."""
    return free_at(root, pfn, n_frames, int64(0))


class Bound(NamedTuple):
    """The bookkeeping, made for one policy: functions to be called from compiled code, or from the interpreter for a plain Python policy.

    `free` asks whether the frames are the owner's who frees, `free_by_anybody` does not. Those that are `far` are not inlined: for callers that are
    not in a hurry.
    """

    alloc: Any
    free: Any
    free_by_anybody: Any
    setup: Any
    alloc_at: Any
    free_at: Any
    far_alloc: Any
    far_free_by: Any
    far_free: Any


@lru_cache(maxsize=32)
def bind_policy(policy: Policy) -> Bound:
    """The functions above, for a policy: compiled, or in the interpreter for one in plain Python. Managers of the same policy share them."""
    make, make_far = (interpreted, interpreted) if policy.in_interpreter else (compiled, outlined)
    open_here = make(bind(area_of, policy.name, policy_open=policy.open_area))
    names = {"area_of": open_here, "policy_granted": policy.granted, "policy_alloc": policy.alloc, "policy_free": policy.free,
             "policy_setup": policy.setup}
    here = {function.__name__: make(bind(function, policy.name, **names)) for function in (alloc, free, setup)}
    whoever = interpreted(anybody) if policy.in_interpreter else anybody
    replayed = make(bind(free, policy.name, **names, entitled=whoever))
    near = {function.__name__: make(bind(function, policy.name, **here)) for function in (alloc_at, free_at)}
    far = {name: make_far(bind(function, policy.name, **here)) for name, function in (("far_alloc", alloc_at), ("far_free_by", free_at))}
    return Bound(**here, free_by_anybody=replayed, **near, **far, far_free=make(bind(far_free, policy.name, free_at=far["far_free_by"])))
