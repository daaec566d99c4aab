"""Validating a model: faces are restored, kept, and measured as a set."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from restoreformer.distributed import rows_of_all_processes
from restoreformer.errors import RestoreFormerError
from restoreformer.images import to_images, write
from restoreformer.metrics.collector import better, make_collector


class ValidatingModel(SRModel):
    """BasicSR's ``SRModel``, whose validation can only average what is known of one image after another.

    Here metrics collect the faces: networks see them in batches, metrics of a set are computed once, and several
    processes share the work. Metrics see what would be written, images in uint8.
    """

    # Of the training that this one goes on with: by dataset and metric, BasicSR's better, val and iter.
    best_before: Mapping[str, Mapping[str, dict[str, Any]]] = MappingProxyType({})

    def __init__(self, opt: dict[str, Any]) -> None:
        for block in self._metric_options(opt).values():
            block["better"] = better(block)
        super().__init__(opt)
        # Now, so that weights that cannot be had are told before anything is trained.
        self._collectors = {key: make_collector(block, self.device) for key, block in self._metric_options(opt).items()}

    @staticmethod
    def _metric_options(opt: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return (opt.get("val") or {}).get("metrics") or {}

    def nondist_validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """Validate on all images of ``dataloader``, a batch of one each."""
        self._validate(dataloader, current_iter, tb_logger, save_img, shared=False)

    def dist_validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """Each process takes its part of the images; metrics are of them all, and every process knows them."""
        images = len(dataloader.dataset)
        rank, processes = self.opt["rank"], self.opt["world_size"]
        shared = images >= processes
        if shared:
            first, last = images * rank // processes, images * (rank + 1) // processes
        else:
            # Too few for each to have one: all have all, and the first one writes them.
            first, last, save_img = 0, images, save_img and rank == 0
        part = Subset(dataloader.dataset, range(first, last))
        part.opt = dataloader.dataset.opt  # type: ignore[attr-defined]
        self._validate(DataLoader(part), current_iter, tb_logger, save_img, shared)

    def _validate(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool, shared: bool) -> None:
        name = dataloader.dataset.opt["name"]
        for collector in self._collectors.values():
            collector.clear()
        shown: list[Tensor] = []
        progress = tqdm(dataloader, unit="image", disable=not self.opt["val"].get("pbar"), desc=f"validating {name}")
        for data in progress:
            self.feed_data(data)
            self.test()
            if tb_logger and len(shown) < self.opt["val"].get("tb_images", 4):
                shown.append(torch.cat([v[0] for v in self.get_current_visuals().values()], dim=-1).clamp(0, 1))
            if not self.output.isfinite().all():
                raise RestoreFormerError(
                    f"Expected numbers from {type(self.net_g).__name__} for {data['lq_path'][0]} of {name}, got NaN or "
                    "infinity: its training has failed, take an earlier file."
                )
            (result,) = to_images(self.output)
            truth = to_images(self.gt)[0] if hasattr(self, "gt") else None
            # The next face may come without one.
            self.__dict__.pop("gt", None)
            if save_img:
                write(self._image_path(name, Path(data["lq_path"][0]).stem, current_iter), result)
            for metric, collector in self._collectors.items():
                if truth is None and collector.needs_gt:
                    raise RestoreFormerError(
                        f"Expected the truth of each face of {name} for the metric {metric}, its dataset gives none: "
                        "take one that does, or leave that metric out."
                    )
                collector.add(result, truth)
        if self._collectors:
            self._report(name, current_iter, tb_logger, shared)
        if shown:
            tb_logger.add_images(f"images/{name}", torch.stack(shown), current_iter)

    @property
    def best_metrics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The best value of each metric so far and its iteration, by dataset."""
        return {**self.best_before, **getattr(self, "best_metric_results", {})}

    def _initialize_best_metric_results(self, dataset_name: str) -> None:
        is_first = dataset_name not in getattr(self, "best_metric_results", {})
        super()._initialize_best_metric_results(dataset_name)
        if is_first:
            records = self.best_metric_results[dataset_name]
            for metric, best in self.best_before.get(dataset_name, {}).items():
                if metric in records and records[metric]["better"] == best["better"]:
                    records[metric] = dict(best)

    def _image_path(self, dataset: str, image: str, current_iter: int) -> Path:
        """Where BasicSR keeps the image of a face."""
        folder = Path(self.opt["path"]["visualization"])
        if self.opt["is_train"]:
            return folder / image / f"{image}_{current_iter}.png"
        return folder / dataset / f"{image}_{self.opt['val']['suffix'] or self.opt['name']}.png"

    def _report(self, dataset: str, current_iter: int, tb_logger: Any, shared: bool) -> None:
        if not hasattr(self, "metric_results"):
            self.metric_results: dict[str, float] = {}
        self.metric_results |= dict.fromkeys(self._collectors, 0.0)
        self._initialize_best_metric_results(dataset)
        for metric, collector in self._collectors.items():
            values = collector.values()
            self.metric_results[metric] = collector.result(rows_of_all_processes(values) if shared else values)
            self._update_best_metric_result(dataset, metric, self.metric_results[metric], current_iter)
        self._log_validation_metric_values(current_iter, dataset, tb_logger)
