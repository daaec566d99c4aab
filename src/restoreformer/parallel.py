"""Work on many items in processes, or beside this thread, in order, holding few of them in memory."""

import multiprocessing.connection
import multiprocessing.process
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2
import torch

from restoreformer.errors import RestoreFormerError

T = TypeVar("T")
R = TypeVar("R")

# Items that are under way or wait to be taken, for each worker.
AHEAD = 4


def ordered_map(
    work: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Iterator[R]:
    """``work`` of each item, in the order of the items, done by ``workers`` processes; 0 does it in this one.

    No more than a few results for each worker are held. Workers end with this process, however it ends.

    Args:
        work: a function of a module, so that every start method can hand it over.
        initializer, initargs: called once in each worker before the first item.

    Raises:
        RestoreFormerError: a number of workers without sense, or a worker that was killed.
    """
    if workers < 0:
        raise RestoreFormerError(f"Expected 0 or more worker processes, got {workers}.")
    if workers == 0:
        if initializer is not None:
            initializer(*initargs)
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(workers, initializer=_start, initargs=(initializer, initargs))
    try:
        yield from _in_order(pool, work, items, AHEAD * workers)
    except BrokenProcessPool as error:
        raise RestoreFormerError(
            "Expected worker processes to live, one was killed: is there enough memory? Use fewer workers."
        ) from error


def beside(work: Callable[[T], R], items: Iterable[T], ahead: int = 2) -> Iterator[R]:
    """``work`` of each item, in the order of the items, done by one thread while this one does something else.

    Args:
        ahead: how many items are under way or done before the first of them is taken.
    """
    return _in_order(ThreadPoolExecutor(1), work, items, ahead)


def _in_order(pool: Executor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    # Ctrl-C reaches every process of a terminal; it is the parent's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def use_one_thread() -> None:
    """What a worker does first: workers that each use every core stand in each other's way."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


_threads = 1


def _before_fork() -> None:
    global _threads
    _threads = cv2.getNumThreads()
    cv2.setNumThreads(1)


def _after_fork() -> None:
    cv2.setNumThreads(_threads)


# OpenCV's threads do not live on in a fork, where being told to use fewer of them it waits for them for good.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)


def _end_with_parent() -> None:
    """A parent that is killed cannot tell its workers, who would wait for it for good."""
    parent = multiprocessing.process.parent_process()
    assert parent is not None, "a worker has a parent"
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
