"""The doorbell without a guest: boxes are filled in from here, and the hook is called as the engine would call it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from kernel_sim import FrameManager
from kernel_sim.compiled import Array, address_of
from kernel_sim.machine import abi, board
from kernel_sim.machine.hypercalls import bind_hook, compiled_doorbell
from kernel_sim.machine.machine import Machine

EDGES = (0, 1, 2, 3, 4, 7, 8, 9, 512, 1023, 1024, 1025, 4095, 4096, 4097, 1 << 31, 1 << 32, 1 << 52, 1 << 62, (1 << 63) - 1,
         -1, -2, -4096, -(1 << 31), -(1 << 62), -(1 << 63))


class Door:
    """A machine whose guest is the test."""

    def __init__(self, manager: FrameManager) -> None:
        self.machine = Machine(manager, "hello")
        self.box = self.machine.ram.shared(abi.CALL_BOX, abi.dtype(abi.CallBox))
        self.batch = self.machine.ram.shared(abi.BATCH, abi.dtype(abi.CallBox), abi.BATCH_CALLS)
        self.board = self.machine._board
        kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64)
        self._hook = bind_hook(manager) if manager.policy.plain else kind(compiled_doorbell(manager).address)
        self._board_address = address_of(self.board)

    def out(self, port: int, value: int = 0) -> None:
        """The guest executes `out`."""
        self._hook(0, port, 4, value, self._board_address)

    def ring(self) -> int:
        """The status of what stands in the box."""
        self.out(abi.DOORBELL_PORT)
        return int(self.box["status"][0])

    def call(self, number: int, **fields: int) -> int:
        """Fill in the box, ring; the status."""
        self.box[0] = np.zeros(1, self.box.dtype)[0]
        self.box["call"] = number
        for name, value in fields.items():
            self.box[name] = value
        return self.ring()

    @property
    def why(self) -> int:
        return int(self.board[board.B_WHY])


class Boxes:
    """Random boxes: noise, and calls that are nearly right, about frames and segments that were handed out not long ago."""

    def __init__(self, seed: int, n_frames: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.pfns = np.arange(64) % n_frames
        self.segments = np.arange(1, 65)
        self._kind = abi.dtype(abi.CallBox)

    def noise(self, n: int) -> Array:
        return self.rng.integers(0, 256, n * self._kind.itemsize, np.uint8).view(self._kind)

    def nearly_right(self, n: int) -> Array:
        """Mostly allocations and frees of a few frames; the rest has edges in every field."""
        boxes, rng = self.noise(n), self.rng
        boxes["call"] = rng.choice([1, 1, 1, 2, 2, 2, 2, 9, 9, 3, 3, 4, 5, 6, 7, 8, 10, 10, 11, 12, 13, 0, 14], n)
        boxes["owner"] = np.where(rng.random(n) < 0.9, rng.choice([0, 0, 3, 4], n), boxes["owner"])
        boxes["n_frames"] = np.where(rng.random(n) < 0.6, rng.choice([1, 1, 2, 3, 4, 8, 0], n), rng.choice(np.array(EDGES, np.int64), n))
        near = rng.choice(self.pfns, n) + rng.choice([0, 0, 0, 1, -1, 2], n)
        boxes["pfn"] = np.where(rng.random(n) < 0.8, near, rng.choice(np.array(EDGES, np.int64), n))
        boxes["segment"] = np.where(rng.random(n) < 0.8, rng.choice(self.segments, n), rng.choice(np.array(EDGES, np.int64), n))
        boxes["bound"] = np.where(rng.random(n) < 0.6, rng.integers(1, 40_000, n), rng.choice(np.array(EDGES, np.int64), n))
        return boxes

    def remember(self, box: Any) -> None:
        """What a served call handed out is what later ones speak of."""
        if box["status"] == 0 and box["call"] == abi.FRAME_ALLOC:
            self.pfns[self.rng.integers(64)] = box["pfn"]
        elif box["status"] == 0 and box["call"] == abi.SEGMENT_ALLOC:
            self.segments[self.rng.integers(64)] = box["segment"]
