"""Generate the synthetic shapes that replace a download.

Writes, under OUT/LEVEL: ``classification`` (class folders, as ImageNet),
``coco`` (boxes and polygons), ``ade`` (label maps), ``vqa`` (questions in
VQA v2's format), ``caption`` (Karpathy's lists and COCO's captions),
``grounding`` (RefCOCO's expressions, as json), ``snli_ve`` (statements in
SNLI-VE's format) and ``video`` (short videos for tests alone, with questions in
MSRVTT-QA's format and MSR-VTT's captions). A folder that is complete already is
left as it is, as are those of other tasks.
"""

import argparse
import json
import os
from pathlib import Path

from mmengine.logging import print_log

from mmvlfusion.testing.shapes import LEVELS, TASKS, write_dataset


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--out', type=Path, default=Path('data/shapes'), help='target folder'
    )
    parser.add_argument(
        '--level',
        choices=list(LEVELS),
        default='easy',
        help='easy: small images of one to three large plain shapes; '
        'standard: larger ones of three to eight, textured and noisy',
    )
    parser.add_argument(
        '--scene-size',
        type=int,
        help="side of the scenes in pixels (default: the level's, 128 or 256)",
    )
    parser.add_argument(
        '--num-shapes',
        type=int,
        nargs=2,
        metavar=('LOW', 'HIGH'),
        help="shapes of a scene (default: the level's, 1 to 3 or 3 to 8)",
    )
    parser.add_argument(
        '--num-questions',
        type=int,
        default=6,
        help='questions about each scene (default: 6)',
    )
    parser.add_argument(
        '--attribute-maps',
        action='store_true',
        help='label maps of colours and of textures beside those of kinds',
    )
    parser.add_argument('--num-train', type=int, default=4000)
    parser.add_argument('--num-val', type=int, default=800)
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=TASKS)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    args = parser.parse_args()
    for name in ('num_train', 'num_val', 'num_questions', 'workers'):
        if getattr(args, name) < 1:
            parser.error(
                f'--{name.replace("_", "-")} must be at least 1, '
                f'not {getattr(args, name)}'
            )
    if args.scene_size is not None and args.scene_size < 32:
        parser.error(f'--scene-size must be at least 32, not {args.scene_size}')
    if args.num_shapes and not 1 <= args.num_shapes[0] <= args.num_shapes[1]:
        parser.error(
            '--num-shapes takes the fewest, at least 1, and the most, '
            f'not {args.num_shapes}'
        )
    return args


def main() -> None:
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
    if args.num_questions != 6:
        recipe['num_questions'] = args.num_questions
    if args.attribute_maps:
        recipe['attribute_maps'] = True
    stamp = root / 'recipes.json'
    done = json.loads(stamp.read_text()) if stamp.is_file() else {}
    tasks = [task for task in TASKS if task in args.tasks and done.get(task) != recipe]
    if not tasks:
        print_log(f'{root} is complete already.')
        return
    # These tasks are written down last, so that an interrupted run does not look
    # complete.
    done = {task: made for task, made in done.items() if task not in tasks}
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
