"""How a model's networks run, whatever they learn: order of memory, precision, optimizers, processes."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.errors import RestoreFormerError
from restoreformer.models.validation import ValidatingModel

AMP = ("bf16",)


class ExecutionModel(ValidatingModel):
    """BasicSR's ``SRModel``, made fast, and at home in several processes with or without GPUs.

    ``train`` takes ``amp: bf16`` (autocast), ``checkpointing: true`` (activations of residual blocks are
    computed again on the way back instead of kept) and ``compile: true`` (``torch.compile`` of
    ``network_g``).
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self._execution = (opt.get("train") or {}) if opt["is_train"] else {}
        lonely = [key for key in ("amp", "compile") if self._execution.get(key)]
        if lonely and opt["num_gpu"] > 1 and not opt["dist"]:
            # DataParallel's threads know nothing of either.
            raise RestoreFormerError(
                f"Expected several processes for train: {' and '.join(lonely)} on {opt['num_gpu']} GPUs: start with "
                "torchrun and --launcher pytorch, or set num_gpu: 1."
            )
        super().__init__(opt)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision that training's passes run in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._execution.get("amp") == "bf16")

    def init_training_settings(self) -> None:
        super().init_training_settings()
        for net in (self.cri_pix, self.cri_perceptual, getattr(self, "net_g_ema", None)):
            if net is not None:
                net.to(memory_format=torch.channels_last)

    def model_to_device(self, net: nn.Module) -> nn.Module:
        net = net.to(self.device).to(memory_format=torch.channels_last)
        if isinstance(net, VQAutoencoder):
            net.set_checkpointing(bool(self._execution.get("checkpointing")))
            if self._execution.get("compile"):
                net.compile()
        if not self.opt["dist"]:
            return super().model_to_device(net)
        return DistributedDataParallel(
            net,
            device_ids=[torch.cuda.current_device()] if self.device.type == "cuda" else None,
            find_unused_parameters=self.opt.get("find_unused_parameters", False),
            # Every process has the same ones by itself, see SharedBatchNorm.
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )

    def get_optimizer(self, optim_type: str, params: Any, lr: float, **kwargs: Any) -> torch.optim.Optimizer:
        """BasicSR's; one kernel for all parameters, unless the options choose another way."""
        if not {"fused", "foreach", "differentiable"} & kwargs.keys():
            kwargs["fused"] = True
        return super().get_optimizer(optim_type, params, lr, **kwargs)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """BasicSR's; Adam goes on as the options say, whatever wrote the state."""
        fused = [optimizer.defaults["fused"] for optimizer in self.optimizers]
        super().resume_training(resume_state)
        for optimizer, is_fused in zip(self.optimizers, fused, strict=True):
            for group in optimizer.param_groups:
                group["fused"] = is_fused
            for weight, state in optimizer.state.items():
                for name, value in state.items():
                    if value.shape == weight.shape:
                        # The fused kernel takes it for granted that both lie in memory alike.
                        state[name] = torch.empty_like(weight).copy_(value)

    def model_ema(self, decay: float = 0.999) -> None:
        average, current = (list(net.parameters()) for net in (self.net_g_ema, self.get_bare_model(self.net_g)))
        get_ema_multi_avg_fn(decay)(average, current, None)

    def test(self) -> None:
        """Fill ``output`` by the moving average, else by ``network_g``, in float32.

        Past the wrapper for several processes, each of which has its own number of images.
        """
        net = self.net_g_ema if hasattr(self, "net_g_ema") else self.get_bare_model(self.net_g)
        training = net.training
        net.eval()
        with torch.no_grad():
            self.output = net(self.lq)
        net.train(training)
