import os
import sys
from pathlib import Path

import pytest

# How much the process is larger after a tensor of 256 MB is gone, in MB.
PROBE = """
import sys, torch
from restoreformer.memory import keep_freed_memory

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1e3 for line in file if line.startswith("VmRSS"))

kept = keep_freed_memory() if sys.argv[1] == "keep" else None
before = resident()
torch.ones(64, 1_000_000)
print(kept, round(resident() - before))
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(os, "confstr"), reason="glibc's")
def test_freed_memory_is_kept_where_it_is_asked_for(forks):
    found = {}
    for mode in ("keep", "by itself"):
        done = forks.run("-c", PROBE, mode, PYTHONPATH=Path(__file__).parents[1] / "src")
        found[mode] = done.stdout.split()
    assert found["keep"][0] == "True" and int(found["keep"][1]) > 200
    assert found["by itself"][0] == "None" and int(found["by itself"][1]) < 50
