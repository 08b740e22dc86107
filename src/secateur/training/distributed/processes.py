"""A group of processes that compute one training together, by torch.distributed."""

import pickle  # noqa: TID251 (between the processes of one job; never a file)
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from secateur.core.errors import SecateurError
from secateur.core.group import Group, use
from secateur.core.record import one_line
from secateur.training.distributed.strategy import DataParallel

POLL_SECONDS = 0.25
FAILURE = "failure"
LOST = ("gloo", "nccl", "connection", "broken pipe", "socket")


class LostProcessError(SecateurError, RuntimeError):
    """Another process of the group ended without saying why."""


class TorchGroup(Group):
    """Processes joined by ``torch.distributed``.

    Tensors travel by collectives (gloo between CPUs, nccl between GPUs). Decisions travel through a key-value store
    that rank 0 serves: who waits there also asks whether somebody failed, so that waiting has no time limit, and the
    error of one process reaches the others.

    Args:
        strategy: how trainings are divided.
        device: where this process computes.
        local_rank: number of this process on its node.
        store: the key-value store, the same for all.
    """

    def __init__(self, strategy: DataParallel, device: torch.device, local_rank: int, store: Store) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.strategy, self.device, self.local_rank = strategy, device, local_rank
        self._store = store
        self._calls = 0

    # -- decisions -------------------------------------------------------------------------------------------------

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on all processes; whoever reads it last removes it."""
        key = self._next_key()
        if self.rank == 0:
            self._tell(key, value)
            return value
        found = pickle.loads(self._wait(key))
        if self._store.add(f"{key}/read", 1) == self.size - 1:
            self._store.delete_key(key)
            self._store.delete_key(f"{key}/read")
        return found

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        key = self._next_key()
        self._tell(f"{key}/{self.rank}", value)
        return [pickle.loads(self._wait(f"{key}/{rank}")) for rank in range(self.size)]

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.gather(None)

    def _tell(self, key: str, value: Any) -> None:
        self._store.set(key, pickle.dumps(value))  # type: ignore[arg-type]  # bytes are text to the stub

    def _next_key(self) -> str:
        self._calls += 1
        return str(self._calls)

    def _wait(self, key: str) -> bytes:
        pause = 0.001
        while not self._there(key):  # not Store.wait: it warns of every second that passes
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)
        return bytes(self._store.get(key))

    def _there(self, key: str) -> bool:
        """Whether somebody has written a key; instead of False, the error of who failed."""
        try:
            found: bool = self._store.check([key])
            failure = None if found else self._failure()
        except RuntimeError as error:
            raise _lost() from error
        if failure is not None:
            raise failure
        return found

    # -- errors ----------------------------------------------------------------------------------------------------

    def failed(self, error: BaseException) -> BaseException:
        """Tell the others of an error, unless it is what another one's failure looks like from here."""
        try:
            told = self._failure()
            if told is None and not _is_loss(error):
                self._tell(FAILURE, _portable(error))
        except RuntimeError:  # the store went with rank 0, which reports
            told = None
        return (told or _lost()) if _is_loss(error) else error

    def _failure(self) -> BaseException | None:
        """Return what another process said before it ended."""
        if not self._store.check([FAILURE]):
            return None
        found: BaseException = pickle.loads(self._store.get(FAILURE))
        return found

    def leave(self) -> None:
        """Part after the last call; rank 0 goes last, since the others talk through it."""
        self.barrier()
        self._store.add("left", 1)
        while self.rank == 0 and self._store.add("left", 0) < self.size:
            time.sleep(0.01)

    # -- tensors ---------------------------------------------------------------------------------------------------

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over processes of a tensor."""
        summed = value.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def gather_rows(self, *tensors: Tensor, sizes: Sequence[int] | None = None) -> list[Tensor]:
        """Return the rows of all processes, by rank: one exchange of bytes, padded to the longest."""
        count = len(tensors[0])
        sizes = self._sizes(count, tensors[0].device) if sizes is None else sizes
        packed = torch.cat([_as_bytes(tensor) for tensor in tensors], dim=1)
        padded = packed.new_zeros(max(sizes), packed.shape[1])
        padded[:count] = packed
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        rows = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        columns = torch.split(rows, [_row_bytes(tensor) for tensor in tensors], dim=1)
        return [
            column.contiguous().view(tensor.dtype).reshape(len(rows), *tensor.shape[1:])
            for column, tensor in zip(columns, tensors, strict=True)
        ]

    def _sizes(self, count: int, device: torch.device) -> list[int]:
        mine = torch.tensor([count], device=device)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(parts, mine)
        sizes: list[int] = torch.cat(parts).tolist()
        return sizes


@contextmanager
def joined(
    strategy: DataParallel, device: torch.device, *, rank: int, size: int, local_rank: int, address: str
) -> Iterator[Group]:
    """Join the other processes of a job, whose addresses ``MASTER_ADDR`` and ``MASTER_PORT`` tell, inside the block.

    Args:
        strategy: how trainings are divided.
        device: where this process computes.
        rank: number of this process.
        size: number of processes.
        local_rank: number of this process on its node.
        address: host of rank 0.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(strategy.backends(device), rank=rank, world_size=size)
    try:
        group = TorchGroup(strategy, device, local_rank, _key_value_store(rank, address))
        with use(group):
            yield group
        group.leave()
    finally:
        distributed.destroy_process_group()


def _key_value_store(rank: int, address: str) -> Store:
    """Return a store served by rank 0 at a port that is free there."""
    found: list[Any] = [None]
    if rank == 0:
        store = TCPStore(address, 0, is_master=True, wait_for_workers=False)
        found = [store.port]
    distributed.broadcast_object_list(found)
    return store if rank == 0 else TCPStore(address, found[0], is_master=False, wait_for_workers=False)


def _as_bytes(tensor: Tensor) -> Tensor:
    """Return ``[n, ...]`` as uint8 ``[n, bytes of a row]``."""
    return tensor.detach().contiguous().reshape(len(tensor), _row_items(tensor)).view(torch.uint8)


def _row_items(tensor: Tensor) -> int:
    return int(torch.Size(tensor.shape[1:]).numel())


def _row_bytes(tensor: Tensor) -> int:
    return _row_items(tensor) * tensor.element_size()


def _is_loss(error: BaseException) -> bool:
    """Whether an error says that the connection to another process is gone."""
    if isinstance(error, LostProcessError | distributed.DistError):
        return True
    return type(error) is RuntimeError and any(word in str(error).lower() for word in LOST)


def _lost() -> LostProcessError:
    return LostProcessError(
        "A process of this run ended without saying why (killed, or out of memory?). The same command again goes on "
        "from the last epoch."
    )


def _portable(error: BaseException) -> BaseException:
    """Return an error itself, or where it cannot be pickled a plain one with its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {one_line(error)}")
    return error
