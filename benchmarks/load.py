"""Memory, open files and log of a long run: the shipped programs, watched from outside (Linux).

python benchmarks/load.py --json docs/benchmarks/load_photos.json -- \
    inference/inference_restoreformer.py --input PHOTOS --output results/load --model FILE
python benchmarks/load.py --json docs/benchmarks/load_training.json -- basicsr/train.py -opt OPTIONS.yml

What follows -- is run by this Python. Once a second the memory and the open files that it and its workers hold are
counted, and how much it has printed. A row for each tenth of the time has the medians. What is loaded is so by the
second tenth, which growth is measured from.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from measuring import arguments, machine, report

TENTHS = 10


class Sample(NamedTuple):
    """What a run and its workers hold at a moment."""

    memory: int
    files: int
    printed: int


def family(pid: int) -> list[int]:
    """A process and all that come from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def held(pid: int) -> tuple[int, int]:
    """Bytes of memory that are one process's own, with its part of what it shares, and how many files it has open."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    memory = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return memory, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def watch(words: list[str], log: Path, interval: float) -> tuple[list[Sample], int]:
    """Run ``words`` by this Python, printing into ``log``; what it held, and its exit status."""
    samples = []
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, *words], stdout=file, stderr=file)
        while process.poll() is None:
            try:
                figures = [held(pid) for pid in family(process.pid)]
            # One of them ended meanwhile.
            except (FileNotFoundError, ProcessLookupError):
                continue
            memory, files = (sum(column) for column in zip(*figures, strict=True))
            samples.append(Sample(memory, files, log.stat().st_size))
            time.sleep(interval)
    return samples, process.returncode


def main() -> None:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds from sample to sample")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="-- and the program with its options")
    args = parser.parse_args()
    words = [word for word in args.words if word != "--"]
    if not words:
        parser.error("Expected -- and a program to watch")
    log = Path(tempfile.mkstemp(suffix=".txt")[1])
    start = time.monotonic()
    samples, status = watch(words, log, args.interval)
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"{' '.join(words)} ended with {status}: see {log}")
    log.unlink()
    size = len(samples) // TENTHS
    if not size:
        sys.exit(f"Expected a run of at least {TENTHS * args.interval:g} s, it took {seconds:.1f} s.")
    parts = [samples[i * size : (i + 1) * size] for i in range(TENTHS)]
    rows = [
        {
            "tenth": i + 1,
            "memory, MiB": round(statistics.median(s.memory for s in part) / 2**20, 1),
            "open files": round(statistics.median(s.files for s in part)),
            "printed, KiB": round(part[-1].printed / 1024, 1),
        }
        for i, part in enumerate(parts)
    ]
    growth = rows[-1]["memory, MiB"] / rows[1]["memory, MiB"] - 1
    title = f"{words[0]}, {seconds:.0f} s: memory grows by {growth:.1%} from the second tenth to the last"
    report(title, rows, machine(torch.device(args.device)), args.json)


if __name__ == "__main__":
    main()
