import pytest
import torch

from restoreformer.nesting import bare_names, find_set

ONE, TWO = torch.zeros(1), torch.ones(1)


@pytest.mark.parametrize(
    "content, param_key, key, tensor, others",
    [
        ({"x": ONE}, "params", None, ONE, ()),
        ({"params": {"x": ONE}, "params_ema": {"x": TWO}}, None, "params_ema", TWO, ("params",)),
        ({"params": {"x": ONE}, "params_ema": {"x": TWO}}, "params", "params", ONE, ("params_ema",)),
        ({"params.x": ONE, "params_ema.x": TWO}, "params", "params", ONE, ("params_ema",)),
        ({"generator": {"x": ONE}, "critic": {"x": TWO}}, "generator", "generator", ONE, ("critic",)),
        ({"model": {"x": ONE}, "epoch": 3}, None, "model", ONE, ("epoch",)),
        ({"model": {"params": {"x": ONE}, "step": 1}, "epoch": 3}, None, "params", ONE, ("epoch", "step")),
        ({"state_dict": {"params_ema": {"x": TWO}, "params": {"x": ONE}}}, "params", "params", ONE, ("params_ema",)),
        ({"params": ONE, "x": TWO}, None, None, TWO, ()),
    ],
)
def test_tensors_are_found_where_they_stand(content, param_key, key, tensor, others):
    found = find_set(content, param_key)
    assert found.entries["x"] is tensor and (found.key, found.others, found.config) == (key, others, None)


def test_names_that_only_some_tensors_begin_with_are_names():
    for content in ({"params.x": ONE, "y": TWO}, {"params.x": ONE, "params": 3}):
        found = find_set(content, "params")
        assert found.key is None and list(found.entries) == list(content)


def test_the_innermost_configuration_counts():
    inner, outer = {"type": "inner"}, {"type": "outer"}
    content = {"model": {"params": {"x": ONE}, "config": inner}, "config": outer}
    assert find_set(content, None).config is inner
    del content["model"]["config"]
    found = find_set(content, None)
    assert found.config is outer and found.others == () and found.keys == ("model", "params")
    assert list(find_set({"params": {"x": ONE, "config": TWO}}, None).entries) == ["x", "config"]


def test_a_dict_in_itself_has_an_end():
    content = {}
    content["model"] = content
    assert find_set(content, None).key == "model"


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "vqvae.", "module.vqvae.", "vqvae.module.", "module.vqvae._orig_mod.module."]
)
def test_prefixes_are_taken_off(prefix):
    assert bare_names([f"{prefix}encoder.module.x"]) == (
        {f"{prefix}encoder.module.x": "encoder.module.x"},
        "vq" in prefix,
    )


def test_what_stands_beside_the_released_network_has_no_name_in_it():
    assert bare_names(["vqvae.x", "loss.y"]) == ({"vqvae.x": "x", "loss.y": None}, True)
