"""The fits, put together: one decision, and the choices that all of them share.

    order       the order in which holes are searched: `hole_order`
    coalesce    immediate: a freed range is joined with the holes that touch it. deferred: it is a hole of its own, until a request would fail in
                this zone; then all holes that touch are joined, and the request is tried once more, before the next zone is. never: it remains one
    carve       low, high: the end of the hole that a request is served from
    search      linear: along the list, hole by hole. indexed: the same decision by a tree (`hole_index`), for order=address
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kernel_sim.allocators import hole_index, hole_order, hole_tags, holes
from kernel_sim.allocators.base import Place, Policy, Request
from kernel_sim.compiled import bind, compiled, interpreted
from kernel_sim.errors import BadPolicy
from kernel_sim.frames import NIL

FIT_PARAMETERS = {"order": hole_order.ORDERS, "coalesce": ("immediate", "deferred", "never"),
                  "carve": ("low", "high"), "search": ("linear", "indexed")}

Step = Callable[..., Any]


class Decision(NamedTuple):
    """What makes a fit the fit that it is: which hole, on the list and in the tree; and whether it goes on from where it was."""

    choose: Step
    choose_indexed: Step
    by_length: bool = False     # whether the tree sorts by length before address
    roves: bool = False


class Holes(NamedTuple):
    """How holes are found again: the verbs of `holes`, and those for the audit."""

    verbs: dict[str, Step]
    choose: Step
    setup: Step
    n_words: Callable[[int, int, int], int]
    blocks: Callable[[Any], Iterator[tuple[int, int]]]
    check: Callable[[Any], object]
    search_order: Callable[[Any, Request], list[Place]]
    place: Callable[[Any, int], Place]


def fit(name: str, decision: Decision, order: str, coalesce: str, carve: str, search: str) -> Policy:
    """The policy that is made of one decision. BadPolicy for search=indexed in another order than by address."""
    if search == "indexed" and order != "address":
        raise BadPolicy(f"policy {name!r}: search=indexed goes with order=address, not with order={order}")
    found = in_tree(name, decision, coalesce) if search == "indexed" else on_list(name, decision, order)
    note = hole_order.forget if not decision.roves else hole_order.note_end if order == "address" else hole_order.note_place

    def made(step: Step, **names: Step) -> Step:
        return compiled(bind(step, name, **found.verbs, **names))

    give = made(holes.give)
    choose = found.choose
    if coalesce == "deferred":
        absorb = made(holes.absorb_touching, absorb=made(holes.absorb))
        choose = made(holes.choose_or_coalesce, choose=choose, coalesce_all=made(holes.coalesce_all, absorb_touching=absorb))
    carve_off = made(holes.carve, note=note, give=give, split_off={"low": holes.low_end, "high": holes.high_end}[carve])

    def check(area: Any) -> None:
        found.check(area)
        if coalesce == "immediate":
            hole_tags.check_apart(found.blocks(area))

    return Policy(name, open_area=hole_tags.open_area, setup=found.setup,
                  alloc=made(holes.alloc, choose=choose, carve=carve_off),
                  free=made(holes.free if coalesce == "immediate" else holes.free_uncoalesced),
                  granted=holes.granted, n_words=found.n_words, blocks=found.blocks, check=check, take=made(holes.take, give=give),
                  search_order=found.search_order, place=found.place)


def on_list(name: str, decision: Decision, order: str) -> Holes:
    """search=linear."""
    by_size = order.startswith("size")
    enter = {"address": hole_order.enter_by_address, "insert-front": hole_order.enter_front, "insert-back": hole_order.enter_back}.get(order)
    if enter is None:
        before = {"size-ascending": hole_order.smaller, "size-descending": hole_order.larger}[order]
        enter = compiled(bind(hole_order.enter_by_size, name, stands_before=before))
    anew = compiled(bind(hole_order.move_anew, name, enter=enter))
    verbs = {"enter": enter, "leave": hole_order.unlink, "carved": anew if by_size else hole_order.move,
             "joined": hole_order.move if order == "address" else anew, "front": hole_order.front, "behind": hole_order.behind,
             "settled": hole_order.nowhere, "settle": hole_order.keep_nothing}
    rover = hole_order.rover_by_address if order == "address" else hole_order.rover_by_place

    def check(area: Any) -> None:
        hole_order.check_order(order, list(hole_order.listed(area)))

    def search_order(area: Any, request: Request) -> list[Place]:
        """The list, hole by hole; a fit that roves begins at its rover."""
        found = [Place("", (hole,)) for hole in hole_order.listed(area)]
        start = int(interpreted(rover)(area)) if decision.roves else NIL
        at = next((at for at, place in enumerate(found) if place.blocks[0][0] == start), 0)
        return found[at:] + found[:at]

    return Holes(verbs, compiled(bind(decision.choose, name, rover=rover)) if decision.roves else decision.choose,
                 compiled(bind(hole_order.setup_by_size, name, enter=enter)) if by_size else hole_order.setup,
                 lambda first, end, n_runs: hole_tags.N_WORDS, hole_order.listed, check, search_order, hole_tags.alone)


def in_tree(name: str, decision: Decision, coalesce: str) -> Holes:
    """search=indexed."""
    sort = "length" if decision.by_length else "address"
    verbs = {verb: getattr(hole_index, f"{verb}_{sort}") for verb in ("enter", "leave", "change")}
    if coalesce == "deferred":
        tree = {f"tree_{verb}": step for verb, step in verbs.items()}
        verbs = {verb: compiled(bind(getattr(hole_index, f"{verb}_both"), name, **tree)) for verb in verbs}
    verbs = {"enter": verbs["enter"], "leave": verbs["leave"], "carved": verbs["change"], "joined": verbs["change"], "front": hole_order.front,
             "behind": hole_order.behind, "settled": hole_index.settled, "settle": hole_index.settle}
    setup = compiled(bind(hole_index.setup, name, enter=verbs["enter"]))
    return Holes(verbs, decision.choose_indexed, setup, hole_index.n_words, hole_index.indexed,
                 hole_index.check_settled if coalesce == "deferred" else list_all, hole_index.leaves, hole_index.node_at)


def list_all(area: Any) -> None:
    """A walk through the whole tree, which says where it is torn."""
    for _ in hole_index.indexed(area):
        pass
