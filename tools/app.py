"""Show a trained model of any task on a local web page.

Input: a config and a checkpoint, and optionally those of a second model of the same
task, such as the low-rank version of the first.
The page takes an image, and a question or expression where the task needs one. It
shows the results with their scores, boxes and masks drawn on the image, where the
fusion attends to, and the time. For retrieval it searches the folder ``--images``.

Example:

    python tools/app.py CONFIG CHECKPOINT --compare LOW_RANK_CONFIG LOW_RANK_CHECKPOINT
"""

import argparse
import os.path as osp
import threading
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmvlfusion.apis.inference import Finding, Prediction, Predictor
from mmvlfusion.utils.checks import require

MAX_MEGABYTES = 10  # Of an image file.
# Of an upload; gradio stops it without a reason. Those up to here get a message.
MAX_UPLOAD = '50mb'
MAX_SIDE = 4096  # Of an image, in pixels.
MAX_TEXT_LENGTH = 500  # Characters.
MAX_WAITING = 20  # Requests in the queue.
MAX_IMAGES = 2000  # Of the folder of a retrieval.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP')
SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
BOX = 'box (x1, y1, x2, y2)'
# Columns of the table of each task.
COLUMNS = dict(
    classification=['class', 'probability'],
    detection=['class', 'score', BOX],
    segmentation=['class', '% of pixels'],
    vqa=['answer', 'probability'],
    caption=['caption', 'probability'],
    grounding=['expression', 'probability', BOX],
    retrieval=['image', 'matching score'],
)
# Tasks whose result is drawn.
DRAWN = ('detection', 'segmentation', 'grounding', 'retrieval')
TITLES = dict(vqa='Visual question answering', grounding='Visual grounding')
LABELS = dict(vqa='Question', grounding='Expression', retrieval='Text')


class Shown(NamedTuple):
    """What the page shows of one model.

    Attributes:
        pictures (list[tuple[np.ndarray, str]]): RGB images with a caption.
        rows (list[list[str]]): The results, with the ``COLUMNS`` of the task.
        attention (list[tuple[np.ndarray, str]]): Where the fusion attends to.
        summary (str): Time and size.
    """

    pictures: List[Tuple[np.ndarray, str]]
    rows: List[List[str]]
    attention: List[Tuple[np.ndarray, str]]
    summary: str


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--compare',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='a second model of the same task, shown next to the first',
    )
    parser.add_argument('--images', help='retrieval: folder of the images')
    parser.add_argument('--device', help='device (default: a GPU if available)')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address of the page (default: %(default)s, this computer only)',
    )
    parser.add_argument(
        '--port', type=int, default=7860, help='port of the page (default: %(default)s)'
    )
    args = parser.parse_args()
    for path in (args.config, args.checkpoint, *(args.compare or ())):
        if not osp.isfile(path):
            parser.error(f'the file {path} does not exist')
    return args


def load_image(path: Optional[str]) -> np.ndarray:
    """Read an uploaded image after checking it.

    Args:
        path (str, optional): The file, or None if there is none.

    Returns:
        np.ndarray: BGR image, (H, W, 3).

    Raises:
        ValueError: If it is missing, not an image of ``FORMATS``, broken, or too
            large.
    """
    if not path:
        raise ValueError('There is no image: choose one.')
    name = osp.basename(path)
    megabytes = osp.getsize(path) / 1e6
    if megabytes > MAX_MEGABYTES:
        raise ValueError(
            f'{name} has {megabytes:.1f} MB, but may have {MAX_MEGABYTES}: choose a '
            'smaller file.'
        )
    try:
        with Image.open(path, formats=FORMATS) as image:
            # The header has the size; the pixels are not decoded yet.
            if max(image.size) > MAX_SIDE:
                raise ValueError(
                    f'{name} has {image.width} x {image.height} pixels, but a side '
                    f'may have {MAX_SIDE}: choose a smaller image.'
                )
            return np.array(image.convert('RGB'))[..., ::-1]
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f'{name} is not a complete image: choose a file of {", ".join(FORMATS)}.'
        ) from error


def load_folder(folder: Optional[str]) -> Tuple[List[np.ndarray], List[str]]:
    """Read the images of a retrieval.

    Args:
        folder (str, optional): The folder; its subfolders are included.

    Returns:
        tuple[list[np.ndarray], list[str]]: BGR images (H, W, 3), and their paths
        within the folder.

    Raises:
        ValueError: If there is no such folder, or no image or too many in it.
    """
    if not folder or not osp.isdir(folder):
        raise ValueError(
            f'--images {folder}: retrieval needs a folder of images, set --images.'
        )
    paths = sorted(p for p in Path(folder).rglob('*') if p.suffix.lower() in SUFFIXES)
    if not 1 <= len(paths) <= MAX_IMAGES:
        raise ValueError(
            f'--images {folder} has {len(paths)} images, expected 1 ... {MAX_IMAGES}.'
        )
    images = [load_image(str(path)) for path in paths]
    return images, [path.relative_to(folder).as_posix() for path in paths]


class App:
    """The models of a page and what it shows.

    Args:
        predictors (list[Predictor]): One or two models of one task.
        images (str, optional): Folder of the images of a retrieval.

    Raises:
        ValueError: If the tasks differ, or the folder has no images.
    """

    def __init__(
        self, predictors: List[Predictor], images: Optional[str] = None
    ) -> None:
        tasks = [predictor.task for predictor in predictors]
        if len(set(tasks)) > 1:
            raise ValueError(
                f'--compare has a model for {tasks[1]}, but the first is for '
                f'{tasks[0]}: compare two models of one task.'
            )
        self.predictors = predictors
        self.task = tasks[0]
        self.folder = load_folder(images) if self.task == 'retrieval' else ([], [])
        # One prediction at a time, so that the times are not those of two.
        self.lock = threading.Lock()
        for predictor in predictors:
            predictor.warm_up()

    def answer(
        self, path: Optional[str], text: Optional[str], score_thr: float
    ) -> List[Shown]:
        """Predict by each model.

        Args:
            path (str, optional): The image file, not for retrieval.
            text (str, optional): The question, expression or text.
            score_thr (float): Lowest score of a box of detection.

        Returns:
            list[Shown]: What is shown, for each model.

        Raises:
            ValueError: If the image or the text is not valid.
        """
        text = text or ''
        if len(text) > MAX_TEXT_LENGTH:
            raise ValueError(
                f'The text has {len(text)} characters, but may have {MAX_TEXT_LENGTH}.'
            )
        image = None if self.task == 'retrieval' else load_image(path)
        with self.lock:
            return [
                self._show(predictor, image, text, score_thr)
                for predictor in self.predictors
            ]

    def _show(
        self,
        predictor: Predictor,
        image: Optional[np.ndarray],
        text: str,
        score_thr: float,
    ) -> Shown:
        """Predict by one model."""
        if image is None:
            images, names = self.folder
            found = predictor.search(text, images, names)
            image = images[names.index(found.findings[0].text)]
        else:
            found = predictor(image, text, score_thr)
        if self.task == 'caption':
            text = found.findings[0].text
        attention = [(p, name) for name, p in predictor.attention(image, text)]
        return Shown(
            captioned(found, self.task),
            [row_of(finding) for finding in found.findings],
            attention,
            f'**{1000 * found.seconds:.0f} ms** on {predictor.device_name}, '
            f'{predictor.num_parameters / 1e6:.2f} M parameters',
        )


def captioned(found: Prediction, task: str) -> List[Tuple[np.ndarray, str]]:
    """Add captions to the pictures of a prediction.

    Args:
        found (Prediction): The prediction.
        task (str): Its task.

    Returns:
        list[tuple[np.ndarray, str]]: RGB images and their captions.
    """
    captions = [''] * len(found.pictures)
    if task == 'retrieval':
        captions = [f'{f.text} ({f.score:.2f})' for f in found.findings]
    return list(zip(found.pictures, captions))


def row_of(finding: Finding) -> List[str]:
    """Describe a result as a row of the table.

    Args:
        finding (Finding): The result.

    Returns:
        list[str]: The columns of the task.
    """
    row = [finding.text]
    if finding.score is not None:
        row.append(f'{finding.score:.2g}')
    if finding.share is not None:
        row.append(f'{100 * finding.share:.1f}')
    if finding.box is not None:
        row.append(', '.join(f'{x:.0f}' for x in finding.box))
    return row


def build_page(app: App, names: List[str]) -> Any:
    """Build the page.

    Args:
        app (App): The models.
        names (list[str]): Their names.

    Returns:
        gradio.Blocks: The page.
    """
    gr = require('gradio')
    needs_image = app.task != 'retrieval'
    with gr.Blocks(title=f'mmvlfusion: {app.task}', analytics_enabled=False) as page:
        gr.Markdown(f'# {TITLES.get(app.task, app.task.capitalize())}')
        with gr.Row():
            image = gr.Image(
                label=f'Image (at most {MAX_MEGABYTES} MB)',
                type='filepath',
                sources=['upload', 'clipboard'],
                visible=needs_image,
                height=320,
            )
            # gradio would decode the file first and give no reason for a failure.
            image.preprocess = lambda data: data.path if data else None
            with gr.Column():
                text = gr.Textbox(
                    label=LABELS.get(app.task, ''),
                    visible=app.task in LABELS,
                    max_length=MAX_TEXT_LENGTH,
                    elem_id='text',
                )
                score_thr = gr.Slider(
                    0,
                    1,
                    value=0.5,
                    label='Lowest score of a box',
                    visible=app.task == 'detection',
                )
                button = gr.Button('Run', variant='primary', elem_id='run')
        outputs = []
        with gr.Row():
            for number, name in enumerate(names):
                with gr.Column():
                    gr.Markdown(f'### {name}')
                    summary = gr.Markdown(elem_id=f'summary-{number}')
                    rows = gr.Dataframe(
                        headers=COLUMNS[app.task],
                        interactive=False,
                        elem_id=f'rows-{number}',
                    )
                    pictures = gr.Gallery(
                        label='Prediction',
                        columns=3 if app.task == 'retrieval' else 1,
                        height=340,
                        object_fit='contain',
                        visible=app.task in DRAWN,
                    )
                    attention = gr.Gallery(
                        label='Where the fusion attends to',
                        columns=6,
                        height=260,
                        visible=app.predictors[0].has_fusion,
                    )
                    outputs += [pictures, rows, attention, summary]

        def run(*inputs: Any) -> List[Any]:
            try:
                shown = app.answer(*inputs)
            except ValueError as error:
                raise gr.Error(str(error), print_exception=False) from error
            return [value for part in shown for value in part]

        events = [button.click, *([text.submit] if app.task in LABELS else [])]
        for event in events:
            event(run, [image, text, score_thr], outputs, concurrency_limit=1)
    return page.queue(max_size=MAX_WAITING, api_open=False)


def main() -> None:
    """Serve the page of the command line."""
    args = parse_args()
    require('gradio')
    pairs = [(args.config, args.checkpoint), *([args.compare] if args.compare else [])]
    predictors = [Predictor.from_files(*pair, device=args.device) for pair in pairs]
    app = App(predictors, args.images)
    names = [osp.splitext(osp.basename(config))[0] for config, _ in pairs]
    build_page(app, names).launch(
        server_name=args.host,
        server_port=args.port,
        share=False,
        max_file_size=MAX_UPLOAD,
        show_api=False,
    )


if __name__ == '__main__':
    main()
