"""Train option files one after the other, in pieces of a limited time: each call goes on where the last one ended.

python scripts/train_in_pieces.py FIRST.yml SECOND.yml --minutes 9
until python scripts/train_in_pieces.py FIRST.yml SECOND.yml; do [ $? -eq 75 ] || break; done

For machines that are lent for a while at a time. A piece ends with a checkpoint, as near below its minutes as the last
interval between two lets expect, and makes one at least. Exit status: 0 when all is trained, 75 when another call has
more to do, that of the training when it fails.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

from restoreformer.errors import RestoreFormerError
from restoreformer.options import read_options
from restoreformer.program import option_parser

ROOT = Path(__file__).resolve().parents[1]
# What a mail server says of a message that it will try again: sysexits.h.
MORE_TO_DO = 75
# Seconds between two looks for a checkpoint.
PATIENCE = 0.2


class Run:
    """A training by its option file.

    Args:
        path: the option file.
    """

    def __init__(self, path: Path) -> None:
        opt = read_options(path)
        try:
            self.path, self.name, self.iterations = path.resolve(), opt["name"], int(opt["train"]["total_iter"])
        except (KeyError, TypeError, ValueError) as error:
            raise RestoreFormerError(
                f"Expected an option file of a training at {path}, got one without {error}."
            ) from error
        self.folder = ROOT / "experiments" / str(self.name)

    def reached(self) -> int:
        """The iteration of the newest checkpoint; 0 if there is none."""
        states = (self.folder / "training_states").glob("*.state")
        return max((int(p.stem) for p in states if p.stem.isdigit()), default=0)

    def is_done(self) -> bool:
        """Whether its last network was written after its last checkpoint."""
        last = self.folder / "models" / "net_g_latest.pth"
        state = self.folder / "training_states" / f"{self.reached()}.state"
        return last.is_file() and (not state.is_file() or last.stat().st_mtime >= state.stat().st_mtime)

    def train(self, deadline: float) -> int:
        """Go on until it ends by itself, or with the last checkpoint before ``deadline`` (``time.monotonic``).

        Returns:
            The training's exit status; :data:`MORE_TO_DO` if it was stopped.
        """
        command = [sys.executable, str(ROOT / "basicsr" / "train.py"), "-opt", str(self.path), "--auto_resume"]
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        try:
            begun, interval, reached = time.monotonic(), 0.0, self.reached()
            while process.poll() is None:
                time.sleep(PATIENCE)
                if self.reached() == reached:
                    continue
                reached, now = self.reached(), time.monotonic()
                begun, interval = now, now - begun
                if now + interval > deadline and reached < self.iterations:
                    return MORE_TO_DO
            return process.returncode
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("options", nargs="+", type=Path, metavar="OPTIONS.yml", help="trainings, in this order")
    parser.add_argument("--minutes", type=float, default=9, help="how long a call may take (default 9)")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    try:
        runs = [Run(path) for path in args.options]
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    for run in runs:
        if run.is_done():
            continue
        status = run.train(deadline)
        sys.stderr.write(f"{run.name}: {run.reached()} of {run.iterations} iterations\n")
        if status:
            sys.exit(status)
        if run is not runs[-1] and time.monotonic() > deadline:
            sys.exit(MORE_TO_DO)


if __name__ == "__main__":
    main()
