"""A checkout of BasicSR, linked, used with its own scripts, and taken back.

The quick tests make a checkout of the installed package. The slow one takes the sdist: of the path in $BASICSR_SDIST,
else downloaded.
"""

import copy
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import basicsr
import link_into_basicsr
import pytest
import yaml
from basicsr.models import build_model

import restoreformer.plugin  # noqa: F401
from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError

ROOT = Path(__file__).parents[2]
EDITED = "options/train/RestoreFormer/train_restoreformer.yml"
ZOO = "# Model Zoo\n\n| name | PSNR |\n| --- | --- |\n| EDSR | 34 |"


@pytest.fixture
def checkout(tmp_path):
    """As git has it, as far as it matters here; the last line of docs/ModelZoo.md has no end."""
    folder = tmp_path / "BasicSR"
    shutil.copytree(Path(basicsr.__file__).parent, folder / "basicsr", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in {
        "setup.py": "",
        "docs/ModelZoo.md": ZOO,
        "options/train/EDSR/train_EDSR.yml": "name: EDSR",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def python(folder, *command, paths=(), status=0):
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-W", "ignore", *map(str, command)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == status, done.stderr + done.stdout[-3000:]
    return done.stdout + done.stderr


def link(folder, *arguments, status=0):
    script = ROOT / "scripts" / "link_into_basicsr.py"
    return python(folder.parent, script, folder, *arguments, paths=[ROOT / "src"], status=status)


def stock(folder, *command, status=0):
    """As docs/model_zoo.md has it, with this project's sources for an installation."""
    return python(folder, *command, paths=["./", ROOT / "src"], status=status)


def content(folder):
    """A digest of each file and the names of folders, but for what runs of Python leave."""
    left = {"__pycache__", "experiments", "results", "tb_logger"}
    paths = [p for p in folder.rglob("*") if p.name.startswith("restoreformer") or not left & set(p.parts)]
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else None for p in paths}


def adapted(file, small_net, data, **blocks):
    """An option file of the checkout on four small faces, with a small network."""
    opt = yaml.safe_load(file.read_text())
    for block in opt["datasets"].values():
        block |= {"dataroot_gt": str(data), "gt_size": 32, "skip_images": 0, "num_images": 4}
    opt["network_g"] = {"type": opt["network_g"]["type"], **small_net}
    for name, values in blocks.items():
        opt[name] |= values
    for block in (*opt.get("train", {}).values(), *opt["val"].get("metrics", {}).values()):
        if isinstance(block, dict) and "weights" in block:
            block["weights"] = "none"
    return opt


def training(file, small_net, data, boxes):
    opt = adapted(
        file,
        small_net,
        data,
        train={"total_iter": 4, "gan_start_iter": 1},
        val={"val_freq": 4},
        logger={"print_freq": 1, "save_checkpoint_freq": 2},
    )
    opt["datasets"]["train"]["batch_size_per_gpu"] = 2
    if "component_path" in opt["datasets"]["train"]:
        opt["datasets"]["train"]["component_path"] = str(boxes)
        opt["path"] = {"pretrain_network_g": "none", "resume_state": None}
    return opt


def write(path, opt):
    path.write_text(yaml.safe_dump(opt, sort_keys=False))
    return path


def losses(log):
    return re.findall(r"\[epoch: +\d+, iter: +(\d+).*?(l_pix.*)", log)


def test_a_linked_checkout_trains_resumes_tests_and_is_as_before(
    checkout, tmp_path, small_net, faces_lmdb, boxes_file, forks
):
    before = content(checkout)
    assert "python basicsr/train.py -opt options/train/RestoreFormer/train_dictionary.yml" in link(checkout)
    small = "RestoreFormer/small"
    opt = training(checkout / f"options/train/{small}/train_restoreformer.yml", small_net, faces_lmdb, boxes_file)

    # What a training that was stopped after two iterations has left.
    folder = checkout / "experiments" / opt["name"]
    stopped = copy.deepcopy(opt) | {"num_gpu": 0, "dist": False, "rank": 0, "world_size": 1, "is_train": True}
    stopped["path"] |= {"models": str(folder / "models"), "training_states": str(folder / "training_states")}
    for path in ("models", "training_states"):
        (folder / path).mkdir(parents=True)
    build_model(stopped).save(0, 2)

    log = stock(checkout, "basicsr/train.py", "-opt", write(tmp_path / "train.yml", opt), "--auto_resume")
    assert "Resuming training from epoch: 0, iter: 2." in log
    assert [iteration for iteration, _ in losses(log)] == ["3", "4"] and "l_g_style_mouth" in log

    trained = {"pretrain_network_g": f"experiments/{opt['name']}/models/net_g_4.pth"}
    opt = adapted(checkout / f"options/test/{small}/test_restoreformer.yml", small_net, faces_lmdb, path=trained)
    options, paths = write(tmp_path / "test.yml", opt), os.pathsep.join(["./", str(ROOT / "src")])
    done = forks.run("basicsr/test.py", "-opt", options, folder=checkout, PYTHONPATH=paths, CUDA_VISIBLE_DEVICES="")
    log = done.stdout + done.stderr
    assert f"Loaded RestoreFormer from {trained['pretrain_network_g']}" in log and re.search(r"# psnr: \d+\.\d+", log)
    assert len(list((checkout / "results" / opt["name"]).rglob("*.png"))) == 4

    link(checkout, "--remove")
    assert content(checkout) == before


@pytest.mark.parametrize("bare", [False, True], ids=["git", "sdist"])
def test_linking_twice_is_linking_once_and_is_taken_back(checkout, bare):
    if bare:
        shutil.rmtree(checkout / "docs")
        shutil.rmtree(checkout / "options")
    before = content(checkout)
    link(checkout)
    once = content(checkout)
    assert len(once) > len(before) + 20
    if not bare:
        zoo = (checkout / "docs" / "ModelZoo.md").read_text()
        assert zoo.startswith(ZOO + "\n") and zoo.count("[RestoreFormer.ckpt](https://") == 1
    link(checkout)
    assert content(checkout) == once
    link(checkout, "--remove")
    assert content(checkout) == before
    assert "found no .restoreformer_link.json: nothing is removed." in link(checkout, "--remove", status=1)


def test_what_was_changed_since_is_left_and_told(checkout):
    before = content(checkout)
    link(checkout)
    zoo = checkout / "docs" / "ModelZoo.md"
    for path in (checkout / EDITED, zoo):
        path.write_text(path.read_text().replace("RestoreFormer", "MyFormer"))
    zoo.write_text(zoo.read_text().replace("MyFormer: ", "RestoreFormer: ") + "| mine | 35 |\n")
    edited = content(checkout)
    again = link(checkout, status=1)
    assert content(checkout) == edited, "the record too"
    assert "for the new ones move files and links away and take <!-- RestoreFormer: begin --> to " in again
    for said in (again, link(checkout, "--remove", status=1)):
        assert re.findall("left as it is, .*: (.*)", said) == ["docs/ModelZoo.md", EDITED]
    after = content(checkout)
    assert {p for p in after if after[p] is not None and after[p] != before.get(p)} == {checkout / EDITED, zoo}
    assert f"at {EDITED}, docs/ModelZoo.md: move files and links away and take <!-- Rest" in link(checkout, status=1)
    assert content(checkout) == after
    (checkout / EDITED).unlink()
    zoo.write_text(re.sub("\n<!-- R.*: end -->\n", "", zoo.read_text(), flags=re.DOTALL))
    link(checkout)
    assert zoo.read_text().startswith(f"{ZOO}| mine | 35 |\n\n<!-- RestoreFormer: begin -->\n")


def test_an_entry_is_taken_out_of_a_page_that_was_written_on(checkout):
    link(checkout)
    zoo = checkout / "docs" / "ModelZoo.md"
    zoo.write_text("# New\n" + zoo.read_text() + "| mine | 35 |\n")
    link(checkout, "--remove")
    assert zoo.read_text() == f"# New\n{ZOO}| mine | 35 |\n"


def test_files_of_others_and_other_folders_are_refused(checkout, tmp_path):
    assert f"Expected a source checkout of BasicSR at {ROOT}, found no basicsr/archs" in link(ROOT, status=1)
    theirs = checkout / "basicsr" / "archs" / "restoreformer_arch.py"
    theirs.write_text("mine = True\n")
    before = content(checkout)
    assert "Expected neither things of others nor symbolic links in" in link(checkout, status=1)
    assert content(checkout) == before


@pytest.mark.parametrize("path", ["basicsr/archs/restoreformer_arch.py", "options/train", "docs"])
def test_nothing_is_written_through_a_symbolic_link(checkout, tmp_path, path):
    """One that leads nowhere, and to a folder elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    if (checkout / path).is_dir():
        (checkout / path).rename(elsewhere)
    (checkout / path).symlink_to(elsewhere)
    before = content(tmp_path)
    if path == "docs":
        link(checkout)
        assert content(elsewhere) == {p: digest for p, digest in before.items() if elsewhere in p.parents}
        link(checkout, "--remove")
    else:
        assert f"at {path}" in link(checkout, status=1)
    assert content(tmp_path) == before


@pytest.mark.parametrize("left", ["begin", "end"])
def test_half_an_entry_is_left_and_told(checkout, left):
    link(checkout)
    zoo = checkout / "docs" / "ModelZoo.md"
    marker = f"<!-- RestoreFormer: {'end' if left == 'begin' else 'begin'} -->\n"
    assert zoo.read_text().count(marker) == 1
    zoo.write_text(zoo.read_text().replace(marker, ""))
    edited = zoo.read_text()
    for arguments in ((), ("--remove",)):
        assert "left as it is, changed since it was linked: docs/ModelZoo.md" in link(checkout, *arguments, status=1)
    assert "at docs/ModelZoo.md: take <!-- RestoreFormer: begin --> to" in link(checkout, status=1)
    assert zoo.read_text() == edited


def test_without_its_record_a_link_is_known_by_what_it_wrote(checkout):
    before = content(checkout)
    link(checkout)
    linked = content(checkout)
    record = checkout / link_into_basicsr.RECORD
    record.unlink()
    link(checkout)
    assert {p: d for p, d in content(checkout).items() if p != record} == {
        p: d for p, d in linked.items() if p != record
    }
    link(checkout, "--remove")
    assert {p: d for p, d in content(checkout).items() if d is not None or p in before} == before


@pytest.fixture
def mine(checkout):
    """Something beside the checkout that is not the link's to delete: a file, by its digest, and an empty folder."""
    (checkout.parent / "mine").write_text("mine")
    (checkout.parent / "empty").mkdir()
    return hashlib.sha256(b"mine").hexdigest()


@pytest.mark.parametrize(
    "record, told",
    [
        ("{", "Expecting property name"),
        ([], "it does not hold pieces and folders"),
        ({"pieces": {}}, "it does not hold pieces and folders"),
        ({"pieces": ["a"], "folders": []}, "pieces are not by their paths"),
        ({"pieces": {"a": 1}, "folders": []}, "a digest or a folder is not text"),
        ({"pieces": {"../mine": "DIGEST"}, "folders": []}, "../mine may lead out of the checkout"),
        ({"pieces": {"BESIDE/mine": "DIGEST"}, "folders": []}, "/mine may lead out of the checkout"),
        ({"pieces": {}, "folders": ["a/../../empty"]}, "a/../../empty may lead out of the checkout"),
    ],
)
def test_a_damaged_record_is_told_and_nothing_deleted(checkout, mine, record, told):
    text = record if isinstance(record, str) else json.dumps(record)
    text = text.replace("DIGEST", mine).replace("BESIDE", str(checkout.parent))
    (checkout / link_into_basicsr.RECORD).write_text(text)
    before = content(checkout.parent)
    for call in (link_into_basicsr.link, link_into_basicsr.remove):
        with pytest.raises(RestoreFormerError, match=re.escape(told)):
            call(checkout)
    assert content(checkout.parent) == before


def test_nothing_is_deleted_through_a_symbolic_link(checkout, mine):
    (checkout / "out").symlink_to(checkout.parent)
    before = content(checkout.parent)
    record = {"pieces": {"out/mine": mine}, "folders": ["out/empty"]}
    (checkout / link_into_basicsr.RECORD).write_text(json.dumps(record))
    assert link_into_basicsr.remove(checkout) == ["out/mine"]
    assert content(checkout.parent) == before


def test_a_link_that_fails_half_way_is_taken_back(checkout):
    zoo = checkout / "docs" / "ModelZoo.md"
    zoo.write_text(ZOO + "\n" * 100_000)
    zoo.chmod(0o640)
    before = content(checkout)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk: the page is the one file that is longer.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    try:
        with pytest.raises(RestoreFormerError, match="ModelZoo.md, could not: .*: this is half done. .* with --remove"):
            link_into_basicsr.link(checkout)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert len(content(checkout)) > len(before) + 20
    link(checkout, "--remove")
    assert content(checkout) == before
    link(checkout)
    link(checkout, "--remove")
    assert content(checkout) == before and zoo.stat().st_mode & 0o777 == 0o640


def test_copied_option_files_name_what_the_checkout_has(checkout):
    link(checkout)
    files = sorted((checkout / "options").rglob("RestoreFormer/**/*.yml"))
    shipped = [p for p in (ROOT / "options").rglob("*.yml") if "demo" not in p.parts]
    assert len(files) == len(shipped) == len({p.relative_to(checkout).parts[3:] for p in files})
    for path in files:
        text = path.read_text()
        assert f"-opt {path.relative_to(checkout)}" in text
        assert all((checkout / name).is_file() for name in re.findall(r"options/\S+\.yml", text))
        assert not re.search(r"python (datasets|scripts|inference)/", text)


def test_without_this_package_one_line_says_what_to_do(checkout):
    link(checkout)
    error = python(checkout, "-S", "-I", "basicsr/archs/restoreformer_arch.py", status=1)
    assert re.fullmatch("error: Expected the package restoreformer, .* --remove\n", error)


@pytest.mark.slow
def test_the_sdist(tmp_path, small_net, faces_folder, faces_lmdb, boxes_file):
    sdist = os.environ.get("BASICSR_SDIST")
    if sdist is None:
        pip = "-m pip download -q --no-binary :all: --no-deps --no-build-isolation basicsr==1.4.2"
        python(tmp_path, *pip.split())
        (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    checkout = tmp_path / "basicsr-1.4.2"
    before = content(checkout)
    link(checkout)
    data = checkout / "datasets" / "f.lmdb"
    pack = ("-m", "restoreformer.datasets.pack_lmdb", "--size", 64)
    stock(checkout, *pack, "--input", faces_folder, "--output", data)
    small = checkout / "options" / "train" / "RestoreFormer" / "small"

    # The same losses as by basicsr/train.py here.
    ours = tmp_path / "ours"
    shutil.copytree(ROOT / "basicsr", ours / "basicsr")
    (ours / "src").symlink_to(ROOT / "src")
    opt = training(small / "train_dictionary.yml", small_net, data, None)
    command = ("basicsr/train.py", "-opt", write(tmp_path / "stage1.yml", opt))
    log = stock(checkout, *command)
    assert losses(log) == losses(python(ours, *command)) and len(losses(log)) == 4
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    log = stock(checkout, *torchrun, *command, "--launcher", "pytorch")
    assert "Require iter number per epoch: 1" in log and len(losses(log)) == 4

    opt = training(small / "train_restoreformer.yml", small_net, faces_lmdb, boxes_file)
    opt["path"]["pretrain_network_g"] = "experiments/small_dictionary/models/net_g_latest.pth"
    command = ("basicsr/train.py", "-opt", write(tmp_path / "stage2.yml", opt))
    whole = losses(stock(checkout, *command))
    (checkout / "experiments" / opt["name"] / "training_states" / "4.state").unlink()
    log = stock(checkout, *command, "--auto_resume")
    assert "Resuming training from epoch: 0, iter: 2." in log
    assert [iteration for iteration, _ in losses(log)] == [iteration for iteration, _ in whole[2:]]

    save_checkpoint(checkout / "net.pth", RestoreFormer(**small_net))
    path = checkout / "options/test/RestoreFormer/small/test_restoreformer.yml"
    opt = adapted(path, small_net, faces_lmdb, path={"pretrain_network_g": "net.pth"})
    log = stock(checkout, "basicsr/test.py", "-opt", write(tmp_path / "test.yml", opt))
    assert re.search(r"# psnr: \d+\.\d+", log)
    opt["network_g"]["head_sise"] = 4
    log = stock(checkout, "basicsr/test.py", "-opt", write(tmp_path / "test.yml", opt), status=1)
    assert log.endswith("head_sise is not an option: did you mean head_size?\n") and "Traceback" not in log

    (checkout / "net.pth").unlink()
    shutil.rmtree(checkout / "datasets")
    link(checkout, "--remove")
    assert content(checkout) == before
