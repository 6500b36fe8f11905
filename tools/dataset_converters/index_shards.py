"""Index tar archives of captioned images for IndexedImageTextShards.

Input: tar archives that are not compressed, as img2dataset writes them.
Output: for each archive, a json file with the names and positions of its files,
in the same folder and with the name of the archive and ``.index.json``.

Truncated archives are reported, and indexed up to their end. The data set skips
them, or stops at them, as its argument ``on_error`` says.

Example:

    python tools/dataset_converters/index_shards.py 'data/cc3m/{00000..00331}.tar'
"""

import argparse
from multiprocessing import Pool

from mmengine.logging import print_log

from mmvlfusion.datasets.utils.archive_entries import expand_shards
from mmvlfusion.datasets.utils.archive_index import write_index
from mmvlfusion.datasets.utils.files import check_files


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'shards',
        nargs='+',
        help='archives, with ranges of numbers in braces, as in a config',
    )
    parser.add_argument(
        '--workers', type=int, default=1, help='processes (default: %(default)s)'
    )
    args = parser.parse_args()
    if args.workers < 1:
        parser.error(f'--workers must be at least 1, got {args.workers}')
    return args


def main() -> None:
    """Write the index of each archive."""
    args = parse_args()
    shards = expand_shards(args.shards, data_root='')
    check_files(shards, 'the shards')
    if args.workers > 1:
        with Pool(args.workers) as pool:
            indices = pool.map(write_index, shards)
    else:
        indices = [write_index(path) for path in shards]
    broken = 0
    for path, index in zip(shards, indices):
        if index['error'] is not None:
            broken += 1
            print_log(f'{path} is not a complete tar archive: {index["error"]}.')
    number = sum(len(index['files']) for index in indices)
    print_log(f'Indexed {number} files of {len(shards)} archives, {broken} broken.')


if __name__ == '__main__':
    main()
