"""Malformed files work, or end in one clear error; none executes code.

The cases follow by rule from small valid files.
"""

import copy
import gzip
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mmvlfusion.datasets import (
    GQA,
    SNLIVE,
    ImageTextJson,
    ImageTextShards,
    IndexedImageTextShards,
    LoadImage,
    LoadVideoFrames,
    RefCOCO,
    VideoQA,
    VideoTextRetrieval,
    VQAv2,
)
from mmvlfusion.datasets.utils.archive_index import write_index

from .helpers import png
from .malformed import (
    ID,
    TEXT_FILES,
    VALID_TEXT_FILES,
    Command,
    as_json,
    as_jsonl,
    changed,
    outcome,
    wrong_fields,
)

IMAGES = ('000000000007.jpg', 'a.jpg', 'a.mp4')
QUESTIONS = dict(questions=[dict(image_id=7, question_id=70, question='What is it?')])
ANNOTATIONS = dict(
    annotations=[dict(image_id=7, question_id=70, answers=[dict(answer='cat')])]
)
GQA_LIST = [dict(image='a.jpg', question='Is it?', answer='yes', question_id='05')]
GQA_DICT = {
    '05': dict(imageId='a', question='Is it?', answer='yes', types=dict(structural='a'))
}
SNLI_VE = [
    dict(gold_label='neutral', Flickr30K_ID='a', sentence2='A dog?', pairID='a.jpg#0')
]
VIDEO_QA = [dict(video_id='a', question='who?', answer='man')]
VIDEO_TEXT = [dict(clip_name='a', caption='a man?')]
IMAGE_TEXT = [dict(image='a.jpg', caption=['a star?'], image_id=7)]
INSTANCES = dict(
    images=[dict(id=5, file_name='a.jpg')],
    annotations=[dict(id=1, image_id=5, bbox=[2, 3, 10, 20])],
)
REFERENCES = [dict(ann_id=1, split='train', sentences=[dict(sent='a star?')])]

# mmengine collects garbage to serialize a list, which takes longer than the rest.
COMMON = dict(serialize_data=False)
# Format: data set, its files in the order of their arguments, and the encoding.
FORMATS = {
    'VQAv2': (
        lambda root: VQAv2(
            'questions.json',
            'annotations.json',
            data_root=root,
            data_prefix='images',
            **COMMON,
        ),
        {'questions.json': QUESTIONS, 'annotations.json': ANNOTATIONS},
        as_json,
    ),
    'GQA list': (
        lambda root: GQA('gqa.json', 'images', data_root=root, **COMMON),
        {'gqa.json': GQA_LIST},
        as_json,
    ),
    'GQA dict': (
        lambda root: GQA('gqa.json', 'images', data_root=root, **COMMON),
        {'gqa.json': GQA_DICT},
        as_json,
    ),
    'SNLIVE': (
        lambda root: SNLIVE('snli.jsonl', 'images', data_root=root, **COMMON),
        {'snli.jsonl': SNLI_VE},
        as_jsonl,
    ),
    'VideoQA': (
        lambda root: VideoQA('qa.jsonl', 'images', data_root=root, **COMMON),
        {'qa.jsonl': VIDEO_QA},
        as_jsonl,
    ),
    'VideoTextRetrieval': (
        lambda root: VideoTextRetrieval(
            'clips.jsonl', 'images', data_root=root, **COMMON
        ),
        {'clips.jsonl': VIDEO_TEXT},
        as_jsonl,
    ),
    'ImageTextJson': (
        lambda root: ImageTextJson('list.json', 'images', data_root=root, **COMMON),
        {'list.json': IMAGE_TEXT},
        as_json,
    ),
    'RefCOCO': (
        lambda root: RefCOCO(
            'instances.json', 'refs.json', 'images', data_root=root, **COMMON
        ),
        {'instances.json': INSTANCES, 'refs.json': REFERENCES},
        as_json,
    ),
}
# Format, file, path of the entry, and types of its fields.
FIELDS = [
    ('VQAv2', 'questions.json', [], dict(questions=list)),
    (
        'VQAv2',
        'questions.json',
        ['questions', 0],
        dict(image_id=ID, question_id=ID, question=str),
    ),
    ('VQAv2', 'annotations.json', [], dict(annotations=list)),
    (
        'VQAv2',
        'annotations.json',
        ['annotations', 0],
        dict(image_id=ID, question_id=ID, answers=list),
    ),
    (
        'VQAv2',
        'annotations.json',
        ['annotations', 0, 'answers', 0],
        dict(answer=str),
    ),
    (
        'GQA list',
        'gqa.json',
        [0],
        dict(image=str, question=str, answer=str, question_id=ID),
    ),
    (
        'GQA dict',
        'gqa.json',
        ['05'],
        dict(imageId=ID, question=str, answer=str, types=dict),
    ),
    (
        'SNLIVE',
        'snli.jsonl',
        [0],
        dict(gold_label=str, Flickr30K_ID=ID, sentence2=str, pairID=ID),
    ),
    ('VideoQA', 'qa.jsonl', [0], dict(video_id=ID, question=str, answer=str)),
    ('VideoTextRetrieval', 'clips.jsonl', [0], dict(clip_name=str, caption=str)),
    (
        'ImageTextJson',
        'list.json',
        [0],
        dict(image=str, caption=(str, list), image_id=ID),
    ),
    ('ImageTextJson', 'list.json', [0, 'caption'], {0: str}),
    ('RefCOCO', 'instances.json', [], dict(images=list, annotations=list)),
    ('RefCOCO', 'instances.json', ['images', 0], dict(id=ID, file_name=str)),
    (
        'RefCOCO',
        'instances.json',
        ['annotations', 0],
        dict(id=ID, image_id=ID, bbox=list),
    ),
    (
        'RefCOCO',
        'instances.json',
        ['annotations', 0, 'bbox'],
        {0: (int, float), 3: (int, float)},
    ),
    ('RefCOCO', 'refs.json', [0], dict(ann_id=ID, split=str, sentences=list)),
    ('RefCOCO', 'refs.json', [0, 'sentences', 0], dict(sent=str)),
]
# Changes of a field that are valid.
VALID_FIELDS = {
    'GQA list': {'answer missing', 'question_id missing'},
    'GQA dict': {'answer missing', 'types missing', 'types null'},
    'ImageTextJson': {'image_id missing'},
}


def field_cases():
    for kind, file, path, types in FIELDS:
        for name, content in wrong_fields(FORMATS[kind][1][file], path, types):
            is_valid = name in VALID_FIELDS.get(kind, ())
            where = '.'.join(map(str, path))
            yield pytest.param(
                kind, file, content, is_valid, id=f'{kind}, {file} {where}: {name}'
            )


def text_cases():
    for kind, (_, files, encode) in FORMATS.items():
        for file, content in files.items():
            for name, change in TEXT_FILES.items():
                yield pytest.param(
                    kind,
                    file,
                    change(encode(content)),
                    name in VALID_TEXT_FILES,
                    id=f'{kind}, {file}: {name}',
                )


def twice(kind, file, *path):
    """Write the first entry of a file twice."""
    _, files, _ = FORMATS[kind]
    content = copy.deepcopy(files[file])
    entries = content
    for key in path:
        entries = entries[key]
    entries.append(entries[0])
    return content


def with_field(kind, file, path, value):
    return changed(FORMATS[kind][1][file], path, value)


NAMES = {
    'empty': '',
    'zero byte': 'a\0.jpg',
    'long': 'a' * 5000,
    'lines': 'a\n.jpg',
    'folder': '.',
    'root': '/',
    'above': '../../../../../../nowhere.jpg',
    'address': 'http://localhost:9/a.jpg',
    'backslash': 'x\\a.jpg',
    'case': 'A.JPG',
    'home': '~/a.jpg',
    'variable': '$HOME/a.jpg',
    'command': '|touch executed',
    'surrogate': 'a\ud800.jpg',
}
VALUE_CASES = {
    'questions twice': ('VQAv2', 'questions.json', ['questions'], False),
    'annotations twice': ('VQAv2', 'annotations.json', ['annotations'], False),
    'GQA twice': ('GQA list', 'gqa.json', [], False),
    'SNLI-VE twice': ('SNLIVE', 'snli.jsonl', [], False),
    'VideoQA twice': ('VideoQA', 'qa.jsonl', [], True),
    'clip twice': ('VideoTextRetrieval', 'clips.jsonl', [], True),
    'captions twice': ('ImageTextJson', 'list.json', [], True),
    'image twice': ('RefCOCO', 'instances.json', ['images'], True),
    'reference twice': ('RefCOCO', 'refs.json', [], True),
}
NAME_FIELDS = {
    'VQAv2': ('questions.json', ['questions', 0, 'image_id']),
    'GQA list': ('gqa.json', [0, 'image']),
    'SNLIVE': ('snli.jsonl', [0, 'Flickr30K_ID']),
    'VideoQA': ('qa.jsonl', [0, 'video_id']),
    'VideoTextRetrieval': ('clips.jsonl', [0, 'clip_name']),
    'ImageTextJson': ('list.json', [0, 'image']),
    'RefCOCO': ('instances.json', ['images', 0, 'file_name']),
}
HUGE = {
    'VQAv2': [('questions.json', ['questions', 0, 'image_id'])],
    'RefCOCO': [
        ('instances.json', ['annotations', 0, 'image_id']),
        ('refs.json', [0, 'ann_id']),
    ],
}


def value_cases():
    for name, (kind, file, path, is_valid) in VALUE_CASES.items():
        yield pytest.param(kind, file, twice(kind, file, *path), is_valid, id=name)
    for kind, (file, path) in NAME_FIELDS.items():
        for name, value in NAMES.items():
            content = with_field(kind, file, path, value)
            yield pytest.param(kind, file, content, False, id=f'{kind}, name {name}')
    for kind, fields in HUGE.items():
        for file, path in fields:
            for value in (10**30, -1):
                content = with_field(kind, file, path, value)
                yield pytest.param(kind, file, content, False, id=f'{kind} {value}')
    for value in ('', ' ', '\n'):
        for kind, file, path in (
            ('VQAv2', 'questions.json', ['questions', 0, 'question']),
            ('GQA dict', 'gqa.json', ['05', 'question']),
            ('VideoQA', 'qa.jsonl', [0, 'question']),
            ('VideoTextRetrieval', 'clips.jsonl', [0, 'caption']),
            ('ImageTextJson', 'list.json', [0, 'caption']),
            ('RefCOCO', 'refs.json', [0, 'sentences', 0, 'sent']),
        ):
            content = with_field(kind, file, path, value)
            yield pytest.param(kind, file, content, False, id=f'{kind} {value!r}')
    for value in ('nan', 'inf', '1e999'):
        content = with_field(
            'RefCOCO', 'instances.json', ['annotations', 0, 'bbox', 1], float(value)
        )
        yield pytest.param('RefCOCO', 'instances.json', content, False, id=value)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of images, which is also the working directory."""
    (tmp_path / 'images').mkdir()
    for name in IMAGES:
        (tmp_path / 'images' / name).touch()
    monkeypatch.chdir(tmp_path)
    init_default_scope('mmpretrain')
    yield tmp_path
    assert not (tmp_path / 'executed').exists()


def build(kind, root, **changed_files):
    """Write the files of a format, some of them changed, and build the data set."""
    make, files, encode = FORMATS[kind]
    for name, content in {**files, **changed_files}.items():
        if not isinstance(content, bytes):
            content = encode(content)
        (root / name).write_bytes(content)
    return make(str(root))


@pytest.mark.parametrize(
    'kind, file, content, is_valid', [*field_cases(), *text_cases(), *value_cases()]
)
def test_annotations(root, kind, file, content, is_valid):
    error = outcome(lambda: build(kind, root, **{file: content}))
    assert (error is None) == is_valid, error
    if not is_valid:
        # An error about two files may name the other one.
        assert any(name in str(error) for name in FORMATS[kind][1])


@pytest.mark.parametrize('kind', list(FORMATS))
@pytest.mark.parametrize('state', ['missing', 'folder'])
def test_annotation_files_that_do_not_exist(root, kind, state):
    build(kind, root)
    for file in FORMATS[kind][1]:
        os.rename(root / file, root / 'moved')
        if state == 'folder':
            (root / file).mkdir()
        assert isinstance(
            outcome(lambda: FORMATS[kind][0](str(root)), file), FileNotFoundError
        )
        if state == 'folder':
            (root / file).rmdir()
        os.rename(root / 'moved', root / file)


@pytest.mark.parametrize('kind', list(FORMATS))
def test_image_folder_that_does_not_exist(root, kind):
    build(kind, root)
    os.rename(root / 'images', root / 'moved')
    assert isinstance(
        outcome(lambda: FORMATS[kind][0](str(root)), 'images'), FileNotFoundError
    )


PICKLES = {
    'command': lambda root: pickle.dumps([Command(root / 'executed')]),
    'command, old': lambda root: pickle.dumps([Command(root / 'executed')], 0),
    'cut': lambda root: pickle.dumps(REFERENCES)[:-5],
    'array': lambda root: pickle.dumps(np.zeros(3)),
    'empty': lambda root: b'',
    'page': lambda root: b'<html>',
    'number': lambda root: pickle.dumps(5),
    'numbers': lambda root: pickle.dumps([5]),
    'deep': lambda root: b'\x80\x04' + b']' * 10 + b'.',
    'memo': lambda root: b'\x80\x04j\xff\xff\xff\xff.',
    'size': lambda root: b'\x80\x04\x8e' + b'\xff' * 8 + b'.',
}


@pytest.mark.parametrize('case', list(PICKLES))
def test_pickles(root, case):
    build('RefCOCO', root)
    (root / 'refs.p').write_bytes(PICKLES[case](root))
    assert outcome(
        lambda: RefCOCO('instances.json', 'refs.p', 'images', data_root=str(root)),
        'refs.p',
    )


@pytest.mark.parametrize('name', ['list.pkl', 'list.yaml', 'list.json'])
def test_pickles_instead_of_json(root, name):
    (root / name).write_bytes(pickle.dumps([Command(root / 'executed')]))
    assert outcome(lambda: ImageTextJson(name, 'images', data_root=str(root)), name)


def encoded(extension, *shape, mode='RGB', dtype=np.uint8, frames=1, **options):
    """Encode a random picture."""
    generator = np.random.default_rng(0)
    if not shape:
        shape = (16, 16, 3) if mode == 'RGB' else (16, 16)
    pictures = [
        Image.fromarray(generator.integers(0, 255, shape).astype(dtype)).convert(mode)
        if dtype == np.uint8
        else Image.fromarray(generator.integers(0, 65535, shape).astype(dtype))
        for _ in range(frames)
    ]
    buffer = io.BytesIO()
    if frames > 1:
        options.update(save_all=True, append_images=pictures[1:])
    pictures[0].save(buffer, extension, **options)
    return buffer.getvalue()


PNG = encoded('PNG')
JPEG = encoded('JPEG')
# Name: content, and whether it is readable; None where it depends on the library.
PICTURES = {
    'png': (PNG, True),
    'jpeg': (JPEG, True),
    'webp': (encoded('WEBP'), True),
    'bmp': (encoded('BMP'), True),
    'tiff': (encoded('TIFF'), True),
    'progressive': (encoded('JPEG', progressive=True), True),
    'one pixel': (encoded('PNG', 1, 1, 3), True),
    'tall': (encoded('PNG', 10000, 1, 3), True),
    'wide': (encoded('PNG', 1, 10000, 3), True),
    'grey': (encoded('PNG', mode='L'), True),
    'bits': (encoded('PNG', mode='1'), True),
    'palette': (encoded('PNG', mode='P'), True),
    'alpha': (encoded('PNG', mode='RGBA'), True),
    'grey and alpha': (encoded('PNG', mode='LA'), True),
    'CMYK': (encoded('JPEG', mode='CMYK'), True),
    '16 bits': (encoded('PNG', 16, 16, dtype=np.uint16), True),
    'pages': (encoded('TIFF', frames=3), True),
    'moving png': (encoded('PNG', frames=3), True),
    'moving webp': (encoded('WEBP', frames=3), None),
    'gif': (encoded('GIF'), None),
    'moving gif': (encoded('GIF', frames=3), None),
    'float tiff': (encoded('TIFF', 16, 16, dtype=np.float32), None),
    'bytes after the end': (JPEG + b'x' * 99, True),
    'cut png': (PNG[: len(PNG) // 2], None),
    'cut jpeg': (JPEG[: len(JPEG) // 2], None),
    'cut header': (PNG[:20], False),
    'wrong checksum': (PNG[:29] + b'xxxx' + PNG[33:], None),
    'no pixels': (PNG[:16] + struct.pack('>II', 0, 0) + PNG[24:], False),
    'huge': (PNG[:16] + struct.pack('>II', 2**30, 2**30) + PNG[24:], False),
    'empty': (b'', False),
    'zeros': (bytes(999), False),
    'text': (b'a text', False),
    'page': (b'<!DOCTYPE html>', False),
    'drawing': (b'<svg xmlns="http://www.w3.org/2000/svg"/>', False),
    'document': (b'%PDF-1.4', False),
    'script': (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', False),
    'pickle': (pickle.dumps(Command('executed')), False),
    'array': (b'\x93NUMPY' + bytes(99), False),
}


@pytest.mark.parametrize('source', ['file', 'archive'])
@pytest.mark.parametrize('case', list(PICTURES))
def test_images(root, case, source):
    """Also where the extension is of another format."""
    content, is_valid = PICTURES[case]
    sample = dict(img_path=str(root / 'x.jpg'))
    (root / 'x.jpg').write_bytes(content)
    if source == 'archive':
        sample['img_bytes'] = content
    loaded = []
    error = outcome(lambda: loaded.append(LoadImage()(sample)), 'x.jpg')
    assert is_valid is None or (error is None) == is_valid
    if error is None:
        image = loaded[0]['img']
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


@pytest.mark.parametrize('state', ['folder', 'link to nowhere', 'link to itself'])
def test_images_that_are_not_files(root, state):
    path = root / 'x.jpg'
    if state == 'folder':
        path.mkdir()
    else:
        path.symlink_to(root / ('nowhere' if state == 'link to nowhere' else 'x.jpg'))
    assert outcome(lambda: LoadImage()(dict(img_path=str(path))), 'x.jpg')


VIDEOS = {
    'empty': b'',
    'text': b'a text',
    'zeros': bytes(4000),
    'header': b'RIFF\x00\x10\x00\x00AVI LIST' + bytes(99),
    'list of files': b'#EXTM3U\nfile:///etc/passwd\n',
}


@pytest.mark.parametrize('case', list(VIDEOS))
def test_videos(root, case):
    (root / 'x.avi').write_bytes(VIDEOS[case])
    load = LoadVideoFrames(2)
    assert outcome(lambda: load(dict(img_path=str(root / 'x.avi'))), 'x.avi')


def pair(name='a'):
    return [(f'{name}.png', png(9)), (f'{name}.txt', b'a star')]


def member(name, kind, target=''):
    """Make an entry of an archive that is not a file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def archive(*entries):
    """Encode an archive of pairs of name and content, and of other entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as content:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                content.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                content.addfile(info, io.BytesIO(entry[1]))
    return buffer.getvalue()


GOOD = archive(*pair())
# Name: content, and the number of samples; None for an error in both data sets.
ARCHIVES = {
    'good': (GOOD, 1),
    'no end': (GOOD[:2048], 1),
    'cut caption': (GOOD[:1540], None),
    'cut image': (GOOD[:540], None),
    'cut first header': (GOOD[:100], None),
    'empty': (b'', None),
    'text': (b'a text', None),
    'page': (b'<!DOCTYPE html>' * 99, None),
    'archive in an archive': (archive(('b.tar', GOOD)), None),
    'next to an archive': (archive(*pair(), ('a.tar', GOOD)), 1),
    'links': (
        archive(
            *pair(),
            member('b.png', tarfile.SYMTYPE, '/etc/passwd'),
            member('b.txt', tarfile.LNKTYPE, 'a.txt'),
            member('c.png', tarfile.SYMTYPE, 'c.png'),
        ),
        1,
    ),
    'devices': (
        archive(
            *pair(),
            member('b.png', tarfile.FIFOTYPE),
            member('b.txt', tarfile.CHRTYPE),
            member('c.png', tarfile.DIRTYPE),
        ),
        1,
    ),
    'name above': (archive(*pair('../../../a')), 1),
    'absolute name': (archive(*pair('/tmp/executed')), 1),
    'long name': (archive(*pair('a' * 3000)), 1),
    'name in another alphabet': (archive(*pair('图')), 1),
    'name with a line': (archive(*pair('a\nb')), 1),
    'command as a name': (archive(*pair('|touch executed')), 1),
    'hidden': (archive(*pair(), *pair('.b')), 1),
    'no extension': (archive(*pair(), ('README', b'text')), 1),
    'upper case': (archive(('a.PNG', png(9)), ('a.TXT', b'a star')), 1),
    'same name': (archive(*pair(), *pair()), None),
    'only an image': (archive(('a.png', png(9))), None),
    'only a caption': (archive(('a.txt', b'a star')), None),
    'empty caption': (archive(('a.png', png(9)), ('a.txt', b'')), None),
    'bytes as a caption': (archive(('a.png', png(9)), ('a.txt', bytes(50))), None),
    'latin-1': (archive(('a.png', png(9)), ('a.txt', b'caf\xe9')), 1),
    'byte order mark': (archive(('a.png', png(9)), ('a.txt', b'\xef\xbb\xbfa')), 1),
    'broken image': (archive(('a.png', b'x'), ('a.txt', b'a star')), None),
    'metadata': (archive(('__a__', b'x'), *pair('__m__/b'), *pair()), 1),
}


@pytest.mark.parametrize('kind', [ImageTextShards, IndexedImageTextShards])
@pytest.mark.parametrize('case', list(ARCHIVES))
def test_archives(root, case, kind):
    content, number = ARCHIVES[case]
    (root / 'x.tar').write_bytes(content)
    write_index(str(root / 'x.tar'))
    before = sorted(root.rglob('*'))
    kwargs = dict(shuffle=0) if kind is ImageTextShards else COMMON

    def read():
        load = [dict(type='mmvlfusion.LoadImage')]
        samples.extend(kind('x.tar', pipeline=load, **kwargs))

    samples = []
    error = outcome(read, 'x.tar')
    assert (error is not None) == (number is None), error
    if number is not None:
        assert len(samples) == number
    assert sorted(root.rglob('*')) == before


def test_compressed_archives(root):
    """They can be streamed, but not read by position."""
    (root / 'x.tar').write_bytes(gzip.compress(GOOD))
    write_index(str(root / 'x.tar'))
    assert len(list(ImageTextShards('x.tar', [], shuffle=0))) == 1
    assert outcome(lambda: IndexedImageTextShards('x.tar'), 'x.tar')
