"""A page in the browser, served from this machine, to restore photos with.

python inference/app.py
python inference/app.py --model experiments/small/models/net_g_latest.pth --detector centerface

Open the address that it tells. Nothing is sent elsewhere, and what was uploaded and restored is deleted at the end.
"""

import argparse
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restoreformer.archs.about import COLOR_FIXES
from restoreformer.archs.precision import PRECISIONS
from restoreformer.detection import CHOICES
from restoreformer.errors import RestoreFormerError
from restoreformer.extras import import_extra
from restoreformer.inference.face_restorer import SMALL_MODEL, FaceRestorer, default_model
from restoreformer.inference.photos import READ_SUFFIXES
from restoreformer.inference.uploads import KeptRestorers, Shown, preview, restore_upload
from restoreformer.memory import keep_freed_memory
from restoreformer.pretrained import FILES
from restoreformer.program import option_parser

if TYPE_CHECKING:
    import gradio

# The authors' files; those of others hold the same networks once more.
NAMED_MODELS = [name for name in FILES if name.startswith("RestoreFormer") and name.endswith(".ckpt")]
UPSCALES = [1, 2, 4]
# The colour fix that suits the network.
AUTOMATIC = "automatic"
# Seconds: how often files are looked through, and the age at which they go while the program runs.
CLEAN_EVERY, KEEP_FOR = 3600, 24 * 3600
# Of an upload, in bytes: more than the largest photos have, less than would fill a disk.
LARGEST_UPLOAD = 200 * 2**20
HEADING = """# RestoreFormer
Restores the faces of a photo. The photo goes to the machine that serves this page, and nowhere else."""


def parser() -> argparse.ArgumentParser:
    """The program's options; those that inference_restoreformer.py has too have its names."""
    parser = option_parser(__doc__)
    add = parser.add_argument
    add("--model", action="append", default=[], help="a file to offer before the pretrained ones; may be repeated")
    add("--detector", default="auto", help=f"{CHOICES}; auto: retinaface, or centerface without its weights")
    add("--device", help="cuda, mps or cpu (default: the best there is)")
    add("--precision", choices=PRECISIONS, default="fp32", help="bf16: faster on GPUs and on CPUs that know it")
    add("--weights-dir", type=Path, help="where pretrained files are looked for first")
    add("--host", default="127.0.0.1", help="address to serve on; 0.0.0.0 lets other machines in (default 127.0.0.1)")
    add("--port", type=int, help="port to serve on (default: the first free one from 7860)")
    return parser


def build_page(restorers: KeptRestorers, models: list[str], folder: Path) -> "gradio.Blocks":
    """The page.

    Args:
        restorers: what restores, by model.
        models: their names, the first of them chosen.
        folder: what is uploaded and restored is kept below it.

    Raises:
        RestoreFormerError: gradio is not installed.
    """
    # Read where gradio makes things.
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    gr = import_extra("gradio", "app")

    with gr.Blocks(title="RestoreFormer", analytics_enabled=False, delete_cache=(CLEAN_EVERY, KEEP_FOR)) as page:
        gr.Markdown(HEADING)
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                photo = gr.File(label="Photo", file_types=sorted(READ_SUFFIXES), height=140)
                model = gr.Dropdown(models, label="Model")
                upscale = gr.Radio(UPSCALES, value=2, label="Upscale", info="How many times longer the sides become.")
                strength = gr.Slider(
                    0, 1, 1, step=0.05, label="Strength", info="0: the photo as it is. 1: the restored faces."
                )
                color_fix = gr.Radio(
                    [AUTOMATIC, *COLOR_FIXES],
                    value=AUTOMATIC,
                    label="Colour fix",
                    info="What to take from the photo. low: brightness and colour; chroma: colour only.",
                )
                only_center_face = gr.Checkbox(label="Only the face in the middle")
                button = gr.Button("Restore", variant="primary", interactive=False)
            with gr.Column(scale=2, min_width=480):
                line = gr.Textbox(placeholder="Choose a photo, then restore it.", show_label=False, interactive=False)
                pair = gr.ImageSlider(
                    label="Before and after", interactive=False, max_height=720, buttons=["fullscreen"]
                )
                download = gr.DownloadButton("Download", variant="primary", interactive=False)
                faces = gr.Gallery(
                    label="Faces",
                    columns=4,
                    interactive=False,
                    visible=False,
                    buttons=["download", "fullscreen"],
                )

        def outputs(shown: Shown) -> list[Any]:
            file = gr.DownloadButton(value=shown.result, interactive=shown.result is not None)
            return [shown.line, shown.pair, file, gr.Gallery(value=list(shown.faces), visible=bool(shown.faces))]

        def show(path: str | None) -> list[Any]:
            shown = Shown("") if path is None else preview(Path(path), folder)
            return [*outputs(shown), gr.Button(interactive=shown.pair is not None)]

        def restore(path: str, model: str, upscale: float, strength: float, center: bool, fix: str) -> list[Any]:
            color_fix = None if fix == AUTOMATIC else fix
            return outputs(restore_upload(Path(path), restorers, model, folder, upscale, strength, center, color_fix))

        shown_in = [line, pair, download, faces]
        asked = [photo, model, upscale, strength, only_center_face, color_fix]
        restored = button.click(
            restore, asked, shown_in, show_progress_on=pair, concurrency_limit=1, api_visibility="private"
        )
        # Another photo must not be followed by what the one before it became.
        photo.change(
            show, photo, [*shown_in, button], show_progress="hidden", cancels=restored, api_visibility="private"
        )
    return page


def check_address(host: str, port: int | None) -> None:
    """See that a page can be served there: gradio tries other ports for minutes where the host is wrong.

    Raises:
        RestoreFormerError: the port is taken, or the host is empty or no address of this machine.
    """
    if not host:
        raise RestoreFormerError("Expected an address of this machine as --host, got an empty one: 127.0.0.1 is one.")
    try:
        socket.create_server((host, port or 0)).close()
    except (OSError, OverflowError) as error:
        where = host if port is None else f"{host}:{port}"
        raise RestoreFormerError(
            f"Expected a free port of this machine, got {where}: choose another ({error})."
        ) from error


def serve(page: "gradio.Blocks", host: str, port: int | None) -> None:
    """Serve a page until the program is interrupted, having told its address on stderr."""
    # gradio asks itself whether it answers; a proxy would look for this machine elsewhere.
    around = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "localhost", host]
    os.environ["no_proxy"] = ",".join(filter(None, around))
    _, url, _ = page.launch(
        share=False,
        server_name=host,
        server_port=port or None,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        run_history=False,
        max_file_size=LARGEST_UPLOAD,
    )
    sys.stderr.write(f"open {url}\n")
    page.block_thread()


def main() -> None:
    args = parser().parse_args()
    keep_freed_memory()
    # So that the folder goes however the program is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def build(model: str, detector: str | None = args.detector) -> FaceRestorer:
        return FaceRestorer(model, detector, args.device, args.weights_dir, args.precision)

    restorers = KeptRestorers(build)
    try:
        first = args.model
        if not first:
            name, unavailable = default_model(args.weights_dir)
            first = [name]
            sys.stderr.write(f"{unavailable}\n" if unavailable else "")
        models = list(dict.fromkeys([*first, *NAMED_MODELS, SMALL_MODEL]))
        check_address(args.host, args.port)
        with tempfile.TemporaryDirectory(prefix="restoreformer_") as folder:
            page = build_page(restorers, models, Path(folder))
            # What cannot be had is told here, and a download seen, before there is a page.
            for model in args.model[1:]:
                # Not kept: memory is for those that are asked for.
                build(model, detector=None)
            restorers.get(models[0])
            serve(page, args.host, args.port)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    # A network at work cannot be stopped, and would abort an interpreter that ends beside it.
    os._exit(0)


if __name__ == "__main__":
    main()
