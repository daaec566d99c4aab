"""Processes of their own that start in tenths of a second.

Each is a fork of one process that has imported torch, SciPy and OpenCV, which takes seconds, and nothing that this
package has to be imported before. The rest it imports by itself, from the path that a start would have.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

SERVER = """
import json, os, runpy, sys
sys.path.remove("")  # what -P does, from Python 3.11 on
import cv2, scipy.stats, torch._dynamo

for line in sys.stdin:
    request = json.loads(line)
    if "pid" in request:
        print(os.waitstatus_to_exitcode(os.waitpid(request["pid"], 0)[1]), flush=True)
    elif pid := os.fork():
        print(pid, flush=True)
    else:
        break
else:
    os._exit(0)
for target, path in ((0, os.devnull), (1, request["printed"] + ".out"), (2, request["printed"] + ".err")):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), target)
os.chdir(request["folder"])
os.environ.clear()
os.environ |= request["environment"]
sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
sys.argv = request["command"]
status = 0
try:
    if sys.argv[0] == "-c":
        code = sys.argv.pop(1)
        exec(code, {"__name__": "__main__"})
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
        runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    status = end.code if isinstance(end.code, int) else int(end.code is not None)
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
except BaseException:
    status = 1
    sys.excepthook(*sys.exc_info())
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)  # clearing up after torch takes another second
"""


class Fork(NamedTuple):
    """One that was started, and is to be waited for."""

    forks: "Forks"
    command: list[str]
    pid: int
    printed: str

    def wait(self, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        try:
            code = self.forks.ask({"pid": self.pid}, seconds)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        out, err = (Path(f"{self.printed}.{name}").read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(self.command, code, out, err)


class Forks:
    """The process that they are forks of; several may run at a time."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-W", "ignore", "-c", SERVER]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.server = subprocess.Popen(command, text=True, env=environment, **pipes)
        self.started = 0

    def ask(self, request: dict[str, Any], seconds: float = 60) -> int:
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        if not select.select([self.server.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"{request} has not ended after {seconds} s")
        return int(self.server.stdout.readline())

    def start(self, *command: Any, folder: Path | str = ".", **environment: Any) -> Fork:
        """``python *command``, a script or ``-c`` and code, with this environment but for what is given."""
        self.started += 1
        words, printed = [str(word) for word in command], f"{self.folder.name}/{self.started}"
        settings = {**os.environ, **{k: str(v) for k, v in environment.items()}}
        place = str(Path(folder).absolute())
        pid = self.ask({"command": words, "folder": place, "environment": settings, "printed": printed})
        return Fork(self, words, pid, printed)

    def run(self, *command: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.start(*command, **options).wait()

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait()
        self.folder.cleanup()
