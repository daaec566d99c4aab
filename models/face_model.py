"""What the models of both stages share: one pass, named losses, adversaries, files, logging."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from restoreformer.archs.about import About
from restoreformer.archs.autoencoder import AutoencoderOutput, VQAutoencoder
from restoreformer.archs.checkpoint import Checkpoint, load_weights, read_checkpoint
from restoreformer.distributed import process_count
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import ImageSource
from restoreformer.metrics.dictionary_usage import count_entries, entries_in_use, perplexity
from restoreformer.models.adaptive_weight import adaptive_weight
from restoreformer.models.adversary import Adversary, optimizer_arguments
from restoreformer.models.execution import AMP
from restoreformer.models.finite import Watch
from restoreformer.models.resumable import ResumableModel

# In place of a path: start from random weights, said in words.
NO_FILE = "none"
# What the adversarial loss is balanced with, where its weight is adaptive.
RECONSTRUCTION = ("l_pix", "l_percep")


class FaceModel(ResumableModel):
    """BasicSR's ``SRModel`` with a dictionary and discriminators; the base of both stages.

    An iteration is one pass of the generator and one step of it, and one pass and one step of each
    discriminator. Losses on the image are differentiated with respect to the image, one after the other, so
    that none keeps its graph while the next is computed; then the sum goes back through the generator once.
    The option file's ``train`` block names the losses; each is logged under its own name. NaN or infinity in one of
    them stops the training before anything learns from it; ``skip_bad_batches: N`` leaves up to N such batches out.
    """

    # What network_g may be.
    GENERATORS: ClassVar[tuple[type[VQAutoencoder], ...]]
    # Option keys of losses between two images, and between features and prior, with their log names.
    # BasicSR builds pixel_opt and perceptual_opt itself.
    IMAGE_LOSSES: ClassVar[dict[str, str]] = {}
    LATENT_LOSSES: ClassVar[dict[str, str]] = {}
    # Networks by option key; all but network_g are discriminators.
    NETWORKS: ClassVar[tuple[str, ...]] = ("network_g", "network_d")
    # What the path block may hold besides the networks' files.
    PATH_OPTIONS: ClassVar[tuple[str, ...]] = ()
    # What the train block may hold, by the kind of thing it is (restoreformer.options checks it).
    TRAIN_OPTIONS: ClassVar[dict[str, str]] = {
        "ema_decay": "value",
        "optim_g": "optimizer",
        "optim_d": "optimizer",
        "scheduler": "scheduler",
        "total_iter": "value",
        "warmup_iter": "value",
        "pixel_opt": "loss",
        "perceptual_opt": "loss",
        "gan_opt": "loss",
        "gan_start_iter": "value",
        "adaptive_gan_weight": "value",
        "amp": "value",
        "checkpointing": "value",
        "compile": "value",
        "attention_lr_factor": "value",
        "skip_bad_batches": "value",
    }

    def __init__(self, opt: dict[str, Any]) -> None:
        # Whether network_g has tensors that its file did not.
        self.begins_anew = False
        # What the file says that network_g's weights come from.
        self.started_from = About()
        if not opt["is_train"]:
            # What inference takes too; files without a moving average give their only weights.
            opt["path"].setdefault("param_key_g", "params_ema")
        super().__init__(opt)

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong between blocks of an option file, each with a remedy; for ``restoreformer.options``."""
        train, path = opt["train"], opt.get("path") or {}
        present = [key for key in cls.NETWORKS[1:] if opt.get(key) is not None]
        for key in present:
            for needed in (cls.gan_option(key), cls.optimizer_option(key)):
                if train.get(needed) is None:
                    yield f"train: {needed} is missing, which {key} needs"
        served: dict[str, list[str]] = {}
        for key in cls.NETWORKS[1:]:
            for option in cls.discriminator_options(key):
                served.setdefault(option, []).append(key)
            if key not in present and path.get(f"pretrain_{key}") is not None:
                yield f"path: pretrain_{key} is given, but there is no {key}"
        for option, keys in served.items():
            if train.get(option) is not None and not set(keys) & set(present):
                yield f"train: {option} is given, but there is no {' or '.join(keys)} for it"
        if train.get("adaptive_gan_weight") and "network_d" not in present:
            yield "train: adaptive_gan_weight is given, but there is no network_d"
        if train.get("amp") not in (None, *AMP):
            yield f"train: amp is {train['amp']!r}: expected {' or '.join(AMP)}, or ~ for float32"
        if train.get("compile") and train.get("adaptive_gan_weight"):
            # The weight is found on the generator's way back, which, compiled, can be gone but once.
            yield "train: compile and adaptive_gan_weight do not go together: leave out one of them"
        if train.get("pixel_opt") is None and train.get("perceptual_opt") is None:
            yield "train: pixel_opt and perceptual_opt are missing: one of them at least is needed"

    def init_training_settings(self) -> None:
        if problems := list(self.option_problems(self.opt)):
            raise RestoreFormerError("Expected other options: " + "; ".join(problems))
        train = self.opt["train"]
        self.gan_start_iter = int(train.get("gan_start_iter", 1))
        self.adaptive_gan_weight = bool(train.get("adaptive_gan_weight", False))
        self.load_fixed_parts()
        self.adversaries = self._build_adversaries()
        super().init_training_settings()
        if self.ema_decay > 0 and self.begins_anew:
            # What is random is so in the average too, but by another draw.
            self.model_ema(0)
        self.image_losses = {"l_pix": self.cri_pix, "l_percep": self.cri_perceptual}
        self.image_losses |= {name: self._build_loss(key) for key, name in self.IMAGE_LOSSES.items()}
        # The iteration from which a loss counts, where it is not the first.
        self.start_iters: dict[str, int] = {}
        self.latent_losses = {name: self._build_loss(key) for key, name in self.LATENT_LOSSES.items()}
        self.usage = torch.zeros(self.dictionary.num_embeddings, dtype=torch.int64, device=self.device)
        self.trained_on = _count_faces(self.opt.get("datasets", {}).get("train", {}))
        self.faces_seen = 0
        self.face_size: int | None = None
        self.losses: dict[str, Tensor] = {}
        self.skipped_batches = 0
        self.watch = Watch(self.device)

    def parts_state(self) -> dict[str, Any]:
        seen = {"faces_seen": self.faces_seen, "face_size": self.face_size}
        return super().parts_state() | {"skipped_batches": self.skipped_batches} | seen

    def load_parts_state(self, state: Mapping[str, Any]) -> None:
        super().load_parts_state(state)
        self.skipped_batches = state.get("skipped_batches", 0)
        self.faces_seen, self.face_size = state.get("faces_seen", 0), state.get("face_size")

    def load_fixed_parts(self) -> None:
        """Weights of parts of ``network_g`` that never learn, before anything is copied from it."""

    @property
    def starts_from_file(self) -> bool:
        """Whether ``network_g`` was there before this training, or before it resumed."""
        return self.opt["path"].get("pretrain_network_g") not in (None, NO_FILE)

    @property
    def dictionary(self) -> nn.Embedding:
        """The entries, ``(n_embed, embed_dim)``."""
        return self.get_bare_model(self.net_g).quantize.embedding

    def _build_loss(self, key: str) -> nn.Module | None:
        options = self.opt["train"].get(key)
        return None if not options else build_loss(options).to(self.device).to(memory_format=torch.channels_last)

    def _build_adversaries(self) -> dict[str, Adversary]:
        adversaries = {}
        for key in self.NETWORKS[1:]:
            if self.opt.get(key) is None:
                continue
            criterion = build_loss(self.opt["train"][self.gan_option(key)]).to(self.device)
            label = key.removeprefix("network_")
            net = self.model_to_device(build_network(self.opt[key]))
            self.print_network(net)
            path = self.opt["path"]
            if path.get(f"pretrain_{key}") is not None:
                strict, param_key = path.get(f"strict_load_{label}", True), path.get(f"param_key_{label}", "params")
                self.load_network(net, path[f"pretrain_{key}"], strict, param_key)
            net.train()
            adversaries[key] = Adversary(label, net, criterion, self.autocast)
        return adversaries

    @classmethod
    def gan_option(cls, network: str) -> str:
        """The key in ``train`` of a discriminator's loss."""
        return "gan_opt"

    @classmethod
    def optimizer_option(cls, network: str) -> str:
        """The key in ``train`` of a discriminator's optimizer."""
        return "optim_d"

    @classmethod
    def discriminator_options(cls, network: str) -> tuple[str, ...]:
        """The keys in ``train`` that mean nothing without this discriminator."""
        return cls.gan_option(network), cls.optimizer_option(network)

    def setup_optimizers(self) -> None:
        train = self.opt["train"]
        kind, arguments = optimizer_arguments(train["optim_g"])
        self.optimizer_g = self.get_optimizer(kind, self._generator_groups(arguments["lr"]), **arguments)
        self.optimizers.append(self.optimizer_g)
        for network, adversary in self.adversaries.items():
            kind, arguments = optimizer_arguments(self.opt["train"][self.optimizer_option(network)])
            adversary.optimizer = self.get_optimizer(kind, adversary.net.parameters(), **arguments)
            self.optimizers.append(adversary.optimizer)

    def _generator_groups(self, lr: float) -> list[dict[str, Any]]:
        """All that learns; apart, what brings features and prior together, if its rate is another."""
        net = self.get_bare_model(self.net_g)
        factor = self.opt["train"].get("attention_lr_factor", 1.0)
        rates: dict[float, list[nn.Parameter]] = {lr: []}
        for name, parameter in net.named_parameters():
            if parameter.requires_grad:
                rates.setdefault(lr * factor if net.is_attention(name) else lr, []).append(parameter)
        if factor != 1 and len(rates) == 1:
            raise RestoreFormerError(
                f"Expected attention_lr_factor for a network with attention, {type(net).__name__} has none to learn."
            )
        return [{"params": parameters, "lr": rate} for rate, parameters in rates.items()]

    def feed_data(self, data: Mapping[str, Any]) -> None:
        super().feed_data(data)
        self.batch_files = list(data.get("gt_path", data.get("lq_path", ())))

    def optimize_parameters(self, current_iter: int) -> None:
        """Run one iteration.

        Raises:
            RestoreFormerError: see :meth:`tell_bad_batches`.
        """
        self.faces_seen += len(self.gt) * process_count()
        self.face_size = self.gt.shape[-1]
        self.watch.begin(current_iter, self.batch_files)
        self.optimizer_g.zero_grad(set_to_none=True)
        with self.autocast():
            out = self.net_g(self.lq, with_latents=True)
        # Discriminators keep averages of what they see.
        image = out.image.detach().float().nan_to_num(0, 0, 0).requires_grad_()
        self.output = image.detach()
        self.watch.see({"the output": out.image})
        self.losses, gradient, reconstruction = self._losses_on_image(image, current_iter)
        self.watch.see(self.losses)
        if current_iter >= self.gan_start_iter:
            for network in self.adversaries:
                gradient += self._play(network, image, out.image, reconstruction)
        latent_losses = {n: c(out.latents, out.prior) for n, c in self.latent_losses.items() if c is not None}
        self.watch.see(latent_losses)
        self.losses |= {name: value.detach() for name, value in latent_losses.items()}
        # A fixed encoder's latents learn nothing.
        learning = [value for value in latent_losses.values() if value.requires_grad]
        gradient *= self.watch.poison
        gradients = [gradient.to(out.image.dtype), *[None] * len(learning)]
        torch.autograd.backward([out.image, *learning], gradients)
        self.watch.step(self.optimizer_g, "network_g")
        self.usage += count_entries(out.indices, len(self.usage))
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)
        self.after_step(current_iter, out)
        self.watch.end()
        self.tell_bad_batches()

    def tell_bad_batches(self, wait: bool = False) -> None:
        """Log the batches that were left out for NaN or infinity, as far as the device has told of them.

        Args:
            wait: until it has told of all iterations.

        Raises:
            RestoreFormerError: they are more than ``skip_bad_batches``: tells which loss, in which iteration, of which
                files.
        """
        for iteration, files, names in self.watch.arrived(wait):
            told = (
                f"Expected numbers in iteration {iteration}, got NaN or infinity in {', '.join(names)}; its batch: "
                f"{', '.join(files) or 'unknown files'}. Nothing was learned from it"
            )
            if self.skipped_batches >= int(self.opt["train"].get("skip_bad_batches") or 0):
                raise RestoreFormerError(
                    f"{told}. Look at the files, or resume from the last checkpoint with a smaller learning rate; "
                    "train: skip_bad_batches: N leaves out N such batches."
                )
            self.skipped_batches += 1
            get_root_logger().warning(f"{told}: {self.skipped_batches} such batches so far.")

    def about(self) -> About:
        """Return what network_g's files say about its training so far; the option file's ``about`` takes precedence."""
        known = About(
            trained_on=self.trained_on,
            faces_seen=self.faces_seen,
            face_size=self.face_size,
            color_fix=self.started_from.color_fix,
            started_from=replace(self.started_from, started_from={}).stored(),
        )
        return replace(known, **(self.opt.get("about") or {}))

    def _losses_on_image(self, image: Tensor, current_iter: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The losses between ``image`` and the truth by their log names; their gradient with respect to ``image``,
        and the part of it that an adaptive adversarial weight is balanced with."""
        values: dict[str, Tensor] = {}
        gradient, reconstruction = torch.zeros_like(image), torch.zeros_like(image)
        for name, criterion in self.image_losses.items():
            if criterion is None or current_iter < self.start_iters.get(name, 1):
                continue
            with self.autocast():
                terms = _named(name, criterion(image, self.gt))
            values |= {n: term.detach() for n, term in terms.items()}
            if terms and not self.adaptive_gan_weight:
                terms = {name: _sum(terms)}
            while terms:
                n, term = terms.popitem()
                (share,) = torch.autograd.grad(term, image, retain_graph=bool(terms))
                gradient += share
                if n in RECONSTRUCTION:
                    reconstruction += share
                del term
        return values, gradient, reconstruction

    def _play(self, network: str, image: Tensor, made: Tensor, reconstruction: Tensor) -> Tensor:
        """Both steps of the game with one discriminator; gives the gradient that ``image`` takes home from it.

        ``made`` is ``image`` with the generator's graph.
        """
        adversary = self.adversaries[network]
        terms = self.adversarial_losses(network, image)
        (gradient,) = torch.autograd.grad(_sum(terms), image, retain_graph=True)
        if network == "network_d" and self.adaptive_gan_weight and adversary.weight:
            last_layer = self.get_bare_model(self.net_g).decoder.conv_out.weight
            factor = adaptive_weight(made, reconstruction, gradient / adversary.weight, last_layer)
            gradient, terms = gradient * factor, {name: term * factor for name, term in terms.items()}
        terms = {name: term.detach() for name, term in terms.items()}
        self.watch.see(terms)
        self.losses |= terms | adversary.learn(self.watch)
        return gradient

    def adversarial_losses(self, network: str, image: Tensor) -> dict[str, Tensor]:
        """Let a discriminator judge; what the generator pays for it, by log names."""
        self.adversaries[network].judge(self.gt, image)
        return {"l_g_gan": self.adversaries[network].generator_loss()}

    def after_step(self, current_iter: int, out: AutoencoderOutput) -> None:
        """What a stage does when all have stepped."""

    def get_current_log(self) -> Mapping[str, float]:
        # Here and not in the iteration: most iterations log nothing, and reading a value waits for the device.
        self.tell_bad_batches(wait=True)
        if process_count() > 1:
            torch.distributed.all_reduce(self.usage)
        values = OrderedDict(self.losses)
        values["entries_in_use"] = entries_in_use(self.usage)
        values["perplexity"] = perplexity(self.usage)
        self.usage.zero_()
        return self.reduce_loss_dict(values)

    def get_current_visuals(self) -> dict[str, Tensor]:
        # BasicSR's images are in [0, 1]; the networks' are in [-1, 1].
        return OrderedDict((k, v / 2 + 0.5) for k, v in super().get_current_visuals().items())

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load every tensor or stop; ``none`` leaves ``net`` random.

        With ``strict_load_*: false`` what fits is loaded, and the log tells what does not, as with BasicSR.
        """
        net = self.get_bare_model(net)
        if load_path == NO_FILE:
            self.begins_anew |= isinstance(net, VQAutoencoder)
            get_root_logger().warning(f"{type(net).__name__} is RANDOM at first (path: none).")
            return
        if not strict:
            # Read as all files are: BasicSR reads pickles of any content where torch still does.
            tensors = dict(read_checkpoint(load_path, param_key).tensors)
            self._print_different_keys_loading(net, tensors, strict)
            net.load_state_dict(tensors, strict=False)
            return
        stage_1, new = (net.STAGE_1, net.new_tensors) if isinstance(net, VQAutoencoder) else (None, ())
        checkpoint = read_checkpoint(load_path, param_key)
        left = load_weights(net, checkpoint, (stage_1,) if stage_1 else (), new)
        if isinstance(net, VQAutoencoder):
            self.started_from = _started_from(net, checkpoint, resumed=bool(self.opt["path"].get("resume_state")))
        self.begins_anew |= bool(left)
        begin = f" {len(left)} tensors, such as {left[0]}, it does not have: they start anew." if left else ""
        get_root_logger().info(f"Loaded {type(net).__name__} from {load_path}.{begin}")

    def save(self, epoch: int, current_iter: int) -> None:
        self.tell_bad_batches(wait=True)
        self.get_bare_model(self.net_g).about = self.about()
        for adversary in self.adversaries.values():
            self.save_network(adversary.net, f"net_{adversary.label}", current_iter)
        super().save(epoch, current_iter)


def _started_from(net: VQAutoencoder, checkpoint: Checkpoint, resumed: bool) -> About:
    """What training started from: a file of the same kind of network, or, when it resumes, what that one says."""
    config = checkpoint.config or {}
    if config.get("type") != type(net).__name__:
        return About()
    about = About.read(config.get("about"), str(checkpoint.path))
    return About.read(about.started_from, str(checkpoint.path)) if resumed else about


def _count_faces(block: Mapping[str, Any]) -> dict[str, int]:
    """The number of different faces that a training set gives, by its name."""
    if block.get("type") != "BlindFaceDataset":
        return {}
    faces = len(ImageSource(block["dataroot_gt"])) - block.get("skip_images", 0)
    return {str(block["name"]): min(faces, block.get("num_images") or faces)}


def _sum(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def _named(name: str, value: Tensor | tuple[Tensor | None, ...]) -> dict[str, Tensor]:
    """A loss by its log name; BasicSR's perceptual losses give a pair, perceptual and style, of which either may be
    None."""
    if isinstance(value, Tensor):
        return {name: value}
    return {key: v for key, v in zip((name, "l_style"), value, strict=True) if v is not None}
