"""Batch normalisation over the batches of all processes."""

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as collective


class SharedBatchNorm(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose statistics, in training with several processes, are those of their batches together.

    So a batch shared out among processes gives the gradients that it gives to one. torch's ``SyncBatchNorm``
    does so on GPUs only. Each process must bring as many places.

    Shapes: ``(n, num_features, h, w)``, as the result.
    """

    def forward(self, x: Tensor) -> Tensor:
        processes = distributed.get_world_size() if self.training and distributed.is_initialized() else 1
        if processes == 1:
            return super().forward(x)
        places = (0, 2, 3)
        values = x.float()
        mean = collective.all_reduce(values.mean(places)) / processes
        centred = values - mean[:, None, None]
        variance = collective.all_reduce(centred.square().mean(places)) / processes
        count = processes * x.numel() // x.shape[1]
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
