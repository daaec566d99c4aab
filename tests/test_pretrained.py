import hashlib
import http.server
import socket
import threading

import pytest

from restoreformer import pretrained
from restoreformer.archs.build import DICTIONARIES, RESTORERS, build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.errors import RestoreFormerError
from restoreformer.pretrained import FILES, SHIPPED, PretrainedFile, UnavailableError, find_pretrained, local_file

CONTENT = b"weights" * 1000


@pytest.fixture
def server(tmp_path):
    """A local server of one file."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def row(server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(pretrained.ENVIRONMENT, raising=False)
    row = PretrainedFile(f"{server}/net.pth", hashlib.sha256(CONTENT).hexdigest(), 1, "CC0")
    monkeypatch.setitem(FILES, "net.pth", row)
    return row


def test_downloaded_once_and_checked(row, tmp_path, monkeypatch):
    path = find_pretrained("net.pth")
    assert path.resolve() == tmp_path / "experiments" / "pretrained_models" / "net.pth"
    assert path.read_bytes() == CONTENT
    monkeypatch.setitem(FILES, "net.pth", row._replace(url="http://127.0.0.1:9/net.pth"))
    assert find_pretrained("net.pth") == path


def test_order_of_folders(row, tmp_path, monkeypatch):
    given, environment = tmp_path / "given", tmp_path / "environment"
    monkeypatch.setenv(pretrained.ENVIRONMENT, str(environment))
    assert find_pretrained("net.pth") == environment / "net.pth"
    assert find_pretrained("net.pth", given) == environment / "net.pth"
    given.mkdir()
    (given / "net.pth").write_bytes(CONTENT)
    assert find_pretrained("net.pth", given) == given / "net.pth"
    (given / "net.pth").unlink()
    (environment / "net.pth").unlink()
    assert find_pretrained("net.pth", given) == given / "net.pth"


def test_without_a_network_the_error_says_what_from_where_and_whereto(row, tmp_path, monkeypatch):
    monkeypatch.setitem(FILES, "net.pth", row._replace(url="http://127.0.0.1:9/net.pth"))
    with pytest.raises(UnavailableError) as caught:
        find_pretrained("net.pth", tmp_path / "w")
    assert socket.getdefaulttimeout() is None
    for part in ("net.pth", "http://127.0.0.1:9/net.pth", str(tmp_path / "w" / "net.pth"), "1 MB"):
        assert part in str(caught.value)
    assert not (tmp_path / "w").exists(), "no empty folder is left"
    with pytest.raises(RestoreFormerError, match="none of experiments/pretrained_models and could"):
        find_pretrained("net.pth")


def test_another_content_is_refused_and_not_kept(row, tmp_path, monkeypatch):
    monkeypatch.setitem(FILES, "net.pth", row._replace(sha256="0" * 64))
    with pytest.raises(RestoreFormerError, match="invalid hash value"):
        find_pretrained("net.pth", tmp_path)
    assert not (tmp_path / "net.pth").exists()
    (tmp_path / "net.pth").write_bytes(b"other")
    with pytest.raises(RestoreFormerError, match="Expected net.pth with SHA-256 000"):
        find_pretrained("net.pth", tmp_path)


def test_a_file_of_ones_own(row, tmp_path):
    mine = tmp_path / "net.pth"
    mine.write_bytes(b"mine")
    assert local_file(mine) == mine, "what is there is taken as it is"
    mine.unlink()
    assert local_file(mine).read_bytes() == CONTENT, "else the name is looked up"
    assert local_file(tmp_path / "other.pth") == tmp_path / "other.pth"


def test_a_bare_name_is_looked_up_where_files_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "own.npz").write_bytes(CONTENT)
    monkeypatch.setenv(pretrained.ENVIRONMENT, str(folder))
    assert local_file("own.npz") == folder / "own.npz"
    assert str(local_file("else/own.npz")) == "else/own.npz", "a folder means that one"
    assert str(local_file("other.npz")) == "other.npz"
    (tmp_path / "own.npz").write_bytes(b"nearer")
    assert str(local_file("own.npz")) == "own.npz"
    with pytest.raises(RestoreFormerError, match=r"Expected a file or one of .*RestoreFormer\.ckpt"):
        find_pretrained("other.pth")


def test_shipped_networks_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, path in SHIPPED.items():
        (tmp_path / name).mkdir()
        assert local_file(name) == path and path.is_file(), "a folder of that name is no network"
        assert path.stat().st_size < 10 * 2**20
        about = build_from_checkpoint(read_checkpoint(name), (*RESTORERS, *DICTIONARIES)).about
        assert about.note and about.face_size == 128 and about.faces_seen and not about.warning
    (tmp_path / "own").mkdir()
    (tmp_path / "small").rmdir()
    (tmp_path / "small").write_bytes(b"mine")
    assert local_file("small").read_bytes() == b"mine"


def test_the_table_is_whole():
    for name, row in FILES.items():
        assert row.url.startswith("https://") and row.url.endswith(name)
        assert len(row.sha256) == 64 and int(row.sha256, 16)
        assert row.megabytes > 0 and row.licence
    # torchvision names its files after the beginning of their digests.
    for name in ("vgg19-dcbb9e9d.pth", "vgg16-397923af.pth"):
        assert FILES[name].sha256.startswith(name.split("-")[1].split(".")[0])


@pytest.mark.parametrize("answer", [b"no HTTP\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_servers_that_speak_something_else(answer, row, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk():
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/net.pth"
        monkeypatch.setitem(FILES, "net.pth", row._replace(url=url))
        with pytest.raises(RestoreFormerError, match="could not download it"):
            find_pretrained("net.pth", tmp_path / "w")
        thread.join()
    assert not (tmp_path / "w").exists()
