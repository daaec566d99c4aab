import json
import sys

import check_platforms
import pytest
from check_platforms import PLATFORMS, interpreter, main, run_tests, told

from restoreformer.errors import RestoreFormerError

TESTS = {
    "good": ("def test_one(): pass\n", {"passed": 1}),
    "bad": ("def test_one(): assert False\ndef test_two(): pass\n", {"failed": 1, "passed": 1}),
    "broken": ("import nothing_of_that_name\n", {"error": 1}),
    "none": ("", {"error": 1}),
}


@pytest.mark.parametrize("kind", TESTS)
def test_what_pytest_says_is_counted(tmp_path, kind):
    text, expected = TESTS[kind]
    path = tmp_path / "test_it.py"
    path.write_text(text)
    counts, said = run_tests(sys.executable, [str(path), "-p", "no:cacheprovider"])
    assert counts == expected
    assert "test_it.py" in said or kind in ("good", "none")


def test_interpreters_are_named_or_found():
    assert interpreter("3.10", {"3.10": sys.executable}) == sys.executable
    assert interpreter("2.0", {}) is None
    with pytest.raises(RestoreFormerError, match=r"Python 3.10 at /nowhere, as --python says"):
        interpreter("3.10", {"3.10": "/nowhere"})


@pytest.mark.parametrize(("kind", "status"), [("good", 0), ("bad", 1)])
def test_an_environment_for_each_and_what_is_not_there_is_told(tmp_path, monkeypatch, capsys, kind, status):
    made = []

    def install(platform, python, folder):
        folder.mkdir(parents=True)
        made.append((platform, python, folder))
        return sys.executable

    monkeypatch.setattr(check_platforms, "install", install)
    (tmp_path / "test_it.py").write_text(TESTS[kind][0])
    words = ["oldest", "newest", "--folder", str(tmp_path / "made"), "--out", str(tmp_path / "out.json")]
    words += ["--python", f"{PLATFORMS['newest'].python}={sys.executable}", "--tests", str(tmp_path / "test_it.py")]
    monkeypatch.setattr(sys, "argv", ["check_platforms.py", *words])
    monkeypatch.setattr(check_platforms.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == status
    oldest, newest = json.loads((tmp_path / "out.json").read_text())
    assert "name it by --python 3.10=PATH" in oldest["left out"] and "left out" in told(oldest)
    assert newest["tests"] == TESTS[kind][1] and newest["versions"]["basicsr"] == "1.4.2"
    assert [m[0] for m in made] == [PLATFORMS["newest"]] and not made[0][2].exists()
    assert "1 passed" in capsys.readouterr().out


def test_an_unknown_platform_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check_platforms.py", "eldest"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Expected of oldest, between, newest, got eldest" in capsys.readouterr().err
