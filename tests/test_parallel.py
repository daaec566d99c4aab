import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restoreformer.errors import RestoreFormerError
from restoreformer.parallel import AHEAD, ordered_map, use_one_thread


def slowly_squared(x):
    time.sleep(0.02 * (x % 3))
    return x * x, os.getpid(), cv2.getNumThreads(), torch.get_num_threads()


def killed(x):
    os.kill(os.getpid(), signal.SIGKILL)


def failing(x):
    raise RestoreFormerError(f"not {x}")


_offset = 0


def _set(value):
    global _offset
    _offset = value


def plus(x):
    return x + _offset


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers):
    results = list(ordered_map(slowly_squared, range(20), workers))
    assert [r[0] for r in results] == [x * x for x in range(20)]
    if workers:
        assert os.getpid() not in {r[1] for r in results} and {r[2:] for r in results} == {(1, 1)}
    assert list(ordered_map(plus, [1, 2], workers, _set, (10,))) == [11, 12]


def test_no_more_than_a_few_are_taken_ahead():
    taken = 0

    def items():
        nonlocal taken
        for x in range(100):
            taken += 1
            yield x

    results = ordered_map(slowly_squared, items(), 2)
    for count, _ in zip(range(1, 101), results, strict=False):
        assert taken <= count + 2 * AHEAD


def test_errors_and_deaths_of_workers_are_told():
    with pytest.raises(RestoreFormerError, match="not 0"):
        list(ordered_map(failing, range(4), 2))
    with pytest.raises(RestoreFormerError, match="one was killed: is there enough memory"):
        list(ordered_map(killed, range(4), 2))


def test_workers_end_with_a_parent_that_is_killed():
    code = (
        "import sys; sys.path[:0] = ['src', 'tests']\n"
        "from test_parallel import slowly_squared; from restoreformer.parallel import ordered_map\n"
        "import itertools\n"
        "for r in ordered_map(slowly_squared, itertools.count(), 2): print(r[1], flush=True)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = {int(parent.stdout.readline()) for _ in range(12)}
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while alive := [w for w in workers if Path(f"/proc/{w}").exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)


def blur(_):
    return float(cv2.GaussianBlur(np.ones((2000, 2000, 3), np.float32), (41, 41), 5).mean())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_fork_of_a_process_that_used_opencvs_threads_does_not_hang():
    cv2.setNumThreads(2)
    assert blur(0) == pytest.approx(1)
    with multiprocessing.get_context("fork").Pool(1, initializer=use_one_thread) as pool:
        assert pool.map_async(blur, [0]).get(timeout=30) == pytest.approx([1])
    assert cv2.getNumThreads() == 2
    assert list(ordered_map(blur, range(3), 2)) == pytest.approx([1, 1, 1])
