"""Wall-clock and device seconds of a stage: of its training, of its evaluation, and of all of it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch

from secateur.core.group import current

Part = Literal["train", "evaluation"]
WHOLE = ""  # the part that holds everything
PARTS = ("train", "evaluation", WHOLE)


class Clocks:
    """Both clocks of a stage, which run from when this is made; a checkpoint adds what an earlier attempt had spent.

    Wall-clock seconds are those of rank 0. Device seconds are summed over all processes: on a GPU the wall-clock
    seconds of each process, after waiting for its GPU to finish; on a CPU the processor seconds of each process with
    its threads, without the processes that load data.

    Args:
        device: where this process computes.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.epochs: list[dict[str, float]] = []  # train_seconds and train_device_seconds of every epoch
        self._spent = dict.fromkeys(PARTS, (0.0, 0.0))  # of all processes, up to the last exchange
        self._own = dict.fromkeys(PARTS, (0.0, 0.0))  # of this process since
        self._since = self._now()
        self._started: tuple[float, float] | None = None

    @contextmanager
    def measuring(self, part: Part) -> Iterator[None]:
        """Count what the block takes as training or as evaluation."""
        before = self._now()
        try:
            yield
        finally:
            self._add(part, before)

    def start(self) -> None:
        """Begin to count as training, until :meth:`stop`."""
        self._started = self._now()

    def stop(self) -> None:
        """Stop counting as training."""
        if self._started is not None:
            self._add("train", self._started)
        self._started = None

    def end_epoch(self) -> None:
        """Sum up over the processes at the end of an epoch; all of them call it."""
        before = self._spent["train"]
        self._exchange()
        wall, device = (now - then for now, then in zip(self._spent["train"], before, strict=True))
        self.epochs.append({"train_seconds": wall, "train_device_seconds": device})

    def whole(self) -> dict[str, Any]:
        """Return ``seconds`` and ``device_seconds`` of the stage until now; all processes call it."""
        self._exchange()
        return _named(WHOLE, self._spent[WHOLE])

    def parts(self) -> dict[str, Any]:
        """Return the same, and those of training and of evaluation; the rest is set-up, recording and saving."""
        self._exchange()
        named = [_named(part, spent) for part, spent in self._spent.items()]
        return {key: value for one in named for key, value in one.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what was spent up to the end of the last epoch."""
        return {"spent": {part: list(spent) for part, spent in self._spent.items()}, "epochs": self.epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Add what an earlier attempt had spent."""
        for part, (wall, device) in state["spent"].items():
            own_wall, own_device = self._spent[part]
            self._spent[part] = (own_wall + wall, own_device + device)
        self.epochs = [*state["epochs"]]

    def _now(self) -> tuple[float, float]:
        return read_clocks(self.device)

    def _add(self, part: str, since: tuple[float, float]) -> None:
        now, own = self._now(), self._own[part]
        self._own[part] = (own[0] + now[0] - since[0], own[1] + now[1] - since[1])

    def _exchange(self) -> None:
        """Add what every process spent since the last call."""
        self._add(WHOLE, self._since)
        self._since = self._now()
        own, self._own = self._own, dict.fromkeys(PARTS, (0.0, 0.0))
        every: list[dict[str, tuple[float, float]]] = current().gather(own)
        for part, (wall, device) in self._spent.items():
            self._spent[part] = (wall + every[0][part][0], device + sum(one[part][1] for one in every))


def read_clocks(device: torch.device) -> tuple[float, float]:
    """Return both clocks of this process: wall-clock seconds and device seconds, of which differences count."""
    if device.type != "cuda":
        return time.perf_counter(), time.process_time()
    torch.cuda.synchronize(device)
    wall = time.perf_counter()
    return wall, wall


def _named(part: str, spent: tuple[float, float]) -> dict[str, float]:
    prefix = f"{part}_" if part else ""
    return {f"{prefix}seconds": spent[0], f"{prefix}device_seconds": spent[1]}
