"""Generate synthetic datasets of shapes, which need no download.

Input: the number and size of the images, and the tasks.
Output, in the folder OUT/LEVEL:

- ``classification``: a folder of images for each class, as in ImageNet;
- ``coco``: boxes and polygons;
- ``ade``: label maps;
- ``vqa``: questions in the format of VQA v2;
- ``caption``: captions in the formats of Karpathy's split and of COCO;
- ``grounding``: expressions as in RefCOCO, in json;
- ``snli_ve``: statements in the format of SNLI-VE;
- ``video``: short videos, for tests only, with questions in the format of
  MSRVTT-QA and captions in the format of MSR-VTT.

Tasks that are complete are not generated again, and folders of other tasks are
not changed.

Example:

    python tools/dataset_converters/shapes.py --level easy --tasks vqa
"""

import argparse
import json
import os
from pathlib import Path

from mmengine.logging import print_log

from mmvlfusion.testing.shapes import (
    DEFAULT_KINDS,
    LEVELS,
    QUESTION_KINDS,
    TASKS,
    write_dataset,
)

MIN_SCENE_SIZE = 32
NUM_QUESTIONS = 6


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('data/shapes'),
        help='folder to write (default: %(default)s)',
    )
    parser.add_argument(
        '--level',
        choices=list(LEVELS),
        default='easy',
        help='easy: small images with 1 to 3 large plain shapes; standard: larger '
        'images with 3 to 8 shapes, texture and noise (default: %(default)s)',
    )
    parser.add_argument(
        '--scene-size',
        type=int,
        help='side of the images in pixels (default: 128 for easy, 256 for standard)',
    )
    parser.add_argument(
        '--num-shapes',
        type=int,
        nargs=2,
        metavar=('LOW', 'HIGH'),
        help='smallest and largest number of shapes in an image (default: 1 3 for '
        'easy, 3 8 for standard)',
    )
    parser.add_argument(
        '--num-questions',
        type=int,
        default=NUM_QUESTIONS,
        help='questions about each image (default: %(default)s)',
    )
    parser.add_argument(
        '--question-kinds',
        nargs='+',
        choices=QUESTION_KINDS,
        default=DEFAULT_KINDS,
        help='kinds of questions, which take turns (default: the first six)',
    )
    parser.add_argument(
        '--attribute-maps',
        action='store_true',
        help='also write label maps of colours and textures',
    )
    parser.add_argument(
        '--num-train',
        type=int,
        default=4000,
        help='training images (default: %(default)s)',
    )
    parser.add_argument(
        '--num-val',
        type=int,
        default=800,
        help='validation images (default: %(default)s)',
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=TASKS,
        default=TASKS,
        help='tasks to write (default: all)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='random seed (default: %(default)s)'
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count(),
        help='processes (default: number of CPUs)',
    )
    args = parser.parse_args()
    for name in ('num_train', 'num_val', 'num_questions', 'workers'):
        if getattr(args, name) < 1:
            parser.error(
                f'--{name.replace("_", "-")} must be at least 1, '
                f'got {getattr(args, name)}'
            )
    if args.scene_size is not None and args.scene_size < MIN_SCENE_SIZE:
        parser.error(
            f'--scene-size must be at least {MIN_SCENE_SIZE}, got {args.scene_size}'
        )
    if args.num_shapes and not 1 <= args.num_shapes[0] <= args.num_shapes[1]:
        parser.error(
            '--num-shapes takes the smallest and the largest number, both at '
            f'least 1, got {args.num_shapes}'
        )
    return args


def main() -> None:
    """Write the datasets that are not complete."""
    args = parse_args()
    root = args.out / args.level
    recipe = dict(
        level=args.level,
        numbers=dict(train=args.num_train, val=args.num_val),
        seed=args.seed,
    )
    for name in ('scene_size', 'num_shapes'):
        if getattr(args, name) is not None:
            recipe[name] = getattr(args, name)
    if args.num_questions != NUM_QUESTIONS:
        recipe['num_questions'] = args.num_questions
    if tuple(args.question_kinds) != DEFAULT_KINDS:
        recipe['question_kinds'] = list(args.question_kinds)
    if args.attribute_maps:
        recipe['attribute_maps'] = True
    stamp = root / 'recipes.json'
    done = json.loads(stamp.read_text()) if stamp.is_file() else {}
    tasks = [task for task in TASKS if task in args.tasks and done.get(task) != recipe]
    if not tasks:
        print_log(f'{root} is complete already.')
        return
    # The tasks are marked as complete at the end, so that an interrupted run is
    # repeated.
    done = {task: made_by for task, made_by in done.items() if task not in tasks}
    root.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(done))
    write_dataset(root, tasks=tasks, workers=args.workers, **recipe)
    stamp.write_text(json.dumps({**done, **dict.fromkeys(tasks, recipe)}))
    print_log(
        f'Wrote {args.num_train} + {args.num_val} images for '
        f'{", ".join(tasks)} to {root}.'
    )


if __name__ == '__main__':
    main()
