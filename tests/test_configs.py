"""Every config parses, is documented and listed, builds, and takes a training step."""

import re
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine import registry
from mmengine.config import Config
from mmpretrain.models import SwinTransformer, VisionTransformer
from mmpretrain.structures import DataSample

from mmvlfusion.apis.build import build_model
from mmvlfusion.models import TNT, VSSD, VisionSSD

from .helpers import ROOT, TINY_ARCH, make_samples

CONFIGS = sorted(
    path
    for path in (ROOT / 'configs').rglob('*.py')
    if not {'_base_', 'demo'} & set(path.parts)
)
DEMOS = sorted((ROOT / 'configs/demo').glob('*.py'))
NAMES = [path.stem for path in CONFIGS]

# Models of at most this width are not made smaller.
SMALL_WIDTH = 64
# Multimodal models of at most this width.
SMALL_FUSION_WIDTH = 128
TINY_WIDTH = 24


def test_configs_parse_in_a_fresh_interpreter(run_tool):
    """Configs parse before mmvlfusion is imported, as in a script of a host."""
    output = run_tool(
        '-c',
        'import functools, sys\nfrom mmengine.config import Config, utils\n'
        # Otherwise each config reads all metafiles of its host.
        'utils.load = functools.lru_cache(maxsize=None)(utils.load)\n'
        'for path in sys.argv[1:]:\n'
        '    print("scope:", Config.fromfile(path).default_scope)',
        *CONFIGS,
        *DEMOS,
    )
    scopes = [
        line.split()[1] for line in output.split('\n') if line.startswith('scope:')
    ]
    assert len(scopes) == len(CONFIGS) + len(DEMOS)
    assert set(scopes) == {'mmpretrain', 'mmdet', 'mmseg'}


def test_names_are_unique():
    names = [path.name for path in (ROOT / 'configs').rglob('*.py')]
    assert len(set(names)) == len(names)


def test_pipelines_pack_paths_of_images():
    """The path identifies an image; ids of two data sets may be equal."""
    paths = [
        path
        for path in (ROOT / 'configs').rglob('*.py')
        if 'meta_keys' in path.read_text()
    ]
    assert len(paths) > 5
    for path in paths:
        pending = [Config.fromfile(path).to_dict()]
        while pending:
            part = pending.pop()
            if isinstance(part, dict):
                assert 'img_path' in part.get('meta_keys', ['img_path']), path
                part = list(part.values())
            pending += [value for value in part if isinstance(value, (dict, list))]


def test_metafiles_list_exactly_the_configs():
    index = mmengine.load(ROOT / 'model-index.yml')
    listed, collections = [], []
    for metafile in index['Import']:
        content = mmengine.load(ROOT / metafile)
        collections += [entry['Name'] for entry in content['Collections']]
        for entry in content['Models']:
            assert entry['Name'] == Path(entry['Config']).stem
            assert entry['In Collection'] in collections
            listed.append(ROOT / entry['Config'])
    assert sorted(listed) == CONFIGS


def first_comment(path):
    """Return the comment at the start of a config in one line."""
    lines = path.read_text().split('\n')
    number = next(i for i, line in enumerate(lines) if not line.startswith('#'))
    return ' '.join(line.strip('# ') for line in lines[:number])


def test_metafile_results_match_the_comments():
    """Results say whether they are published or measured here."""
    for metafile in mmengine.load(ROOT / 'model-index.yml')['Import']:
        for entry in mmengine.load(ROOT / metafile)['Models']:
            comment = first_comment(ROOT / entry['Config'])
            numbers = {float(x) for x in re.findall(r'\d+\.\d+', comment)}
            origins = {'Published', 'Measured here'} & set(entry['Metadata'])
            results = entry.get('Results', [])
            assert len(origins) == bool(results), entry['Name']
            for result in results:
                assert set(result) == {'Task', 'Dataset', 'Metrics'}
                assert set(result['Metrics'].values()) <= numbers, entry['Name']
            if origins == {'Published'}:
                assert str(entry['Metadata']['Published']) in comment


def base_steps(path):
    """Return the length of the longest chain of ``_base_`` files below a config.

    A file of a host counts as one step.
    """
    bases = re.search(r'^_base_ = (\[[^\]]*\]|.*)$', path.read_text(), re.M)
    if bases is None:
        return 0
    names = re.findall(r"'([^']+)'", bases[1])
    return 1 + max(
        0 if '::' in name else base_steps(path.parent / name) for name in names
    )


def test_inheritance_is_shallow_and_within_one_method():
    """At most three steps; between methods, only low-rank versions inherit."""
    for path in CONFIGS:
        assert base_steps(path) <= 3, path
        for name in re.findall(r"'\.\./(\w+)/", path.read_text()):
            assert name == '_base_' or 'pela' in path.stem, path


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_top_level_statistics_are_those_of_segmentation_models(path):
    """The tools of mmseg read the top level."""
    cfg = Config.fromfile(path)
    if cfg.default_scope != 'mmseg':
        return
    preprocessor = (cfg.model.get('student') or cfg.model).data_preprocessor
    for name in ('mean', 'std'):
        assert cfg.data_preprocessor[name] == preprocessor[name]


@pytest.mark.parametrize(
    'name',
    [
        'image_text_runtime',
        'mmpretrain_finetune_runtime',
        'mmpretrain_runtime',
        'vqa_runtime',
    ],
)
def test_browse_dataset_accepts_the_visualizer(name):
    """The script of mmpretrain passes its settings to the class."""
    cfg = Config.fromfile(ROOT / f'configs/_base_/{name}.py')
    assert '_scope_' not in cfg.visualizer.to_dict()


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_name_states_batch_size_and_schedule(path):
    cfg = Config.fromfile(path)
    batch, amount, unit = re.search(r'xb(\d+)-([\d.]+)([ek])_', path.stem).groups()
    assert cfg.train_dataloader.batch_size == int(batch)
    if unit == 'e':
        assert cfg.train_cfg.max_epochs == int(amount)
    else:
        assert cfg.train_cfg.max_iters == 1000 * float(amount)


def shrink(value, sizes):
    """Return a config with other integers and without initial weights."""
    if isinstance(value, dict):
        return {
            k: None if k == 'init_cfg' else shrink(v, sizes) for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(shrink(v, sizes) for v in value)
    return sizes.get(value, value) if type(value) is int else value


def backbone_kind(backbone):
    """Return the class name of a backbone, also if it is made low-rank."""
    kind = backbone.get('module', backbone.type).split('.')[-1]
    return kind.removeprefix('PELA')


def arch_settings(backbone):
    """Return the architecture of a transformer backbone as a dict."""
    zoos = dict(
        TNT=TNT.ARCHS,
        SwinTransformer=SwinTransformer.arch_zoo,
        VisionTransformer=VisionTransformer.arch_zoo,
        VSSD=VSSD.ARCHS,
        VisionSSD=VisionSSD.ARCHS,
    )
    arch = backbone.get('arch')
    return zoos[backbone_kind(backbone)][arch] if isinstance(arch, str) else arch


def tiny_backbone(backbone):
    """Replace the architecture of a transformer backbone by a tiny one.

    The depth is kept if the config selects blocks.

    Returns:
        dict: The new number of channels by the old one.
    """
    kind = backbone_kind(backbone)
    arch = arch_settings(backbone)
    if kind == 'TNT':
        backbone.arch = dict(
            TINY_ARCH,
            num_layers=arch['num_layers'],
            word_size=backbone.get('patch_size', 16) // 4,
        )
        return {arch['embed_dims_outer']: TINY_WIDTH}
    if kind == 'SwinTransformer':
        if 'rank' in backbone:
            backbone.rank = 2
        stages = range(len(arch['depths']))
        backbone.arch = dict(
            embed_dims=TINY_WIDTH,
            depths=(1,) * len(stages),
            num_heads=(2, 2, 4, 4)[: len(stages)],
        )
        return {arch['embed_dims'] * 2**i: TINY_WIDTH * 2**i for i in stages}
    if kind == 'VSSD':
        stages = range(len(arch['depths']))
        backbone.arch = dict(
            embed_dims=TINY_WIDTH,
            depths=(1,) * len(stages),
            num_heads=(2,) * len(stages),
            state_dims=4,
        )
        return {arch['embed_dims'] * 2**i: TINY_WIDTH * 2**i for i in stages}
    if kind == 'VisionSSD':
        backbone.arch = dict(
            embed_dims=TINY_WIDTH,
            num_layers=1 + max(backbone.get('out_indices', [1])),
            head_dims=8,
            state_dims=4,
        )
        return {arch['embed_dims']: TINY_WIDTH}
    if kind == 'VisionTransformer':
        backbone.arch = dict(
            embed_dims=TINY_WIDTH,
            num_layers=1 + max(backbone.get('out_indices', [1])),
            num_heads=3,
            feedforward_channels=48,
        )
        return {arch['embed_dims']: TINY_WIDTH}
    return {}


def is_small(backbone):
    """Check whether a backbone of one width is small enough for a test."""
    if isinstance(backbone.get('module'), dict):
        return is_small(backbone.module)
    if backbone_kind(backbone) != 'VisionTransformer':
        return False
    return arch_settings(backbone)['embed_dims'] <= SMALL_WIDTH


def shrink_model(part, scope):
    """Make a classifier, detector or segmentor tiny.

    Returns:
        dict: The new number of channels by the old one.
    """
    if is_small(part.backbone):
        return {}
    if 'roi_head' in part:
        shrink_sampling(part.train_cfg)
    sizes = tiny_backbone(part.backbone)
    if scope == 'mmdet' and len(sizes) > 1:
        # Other parts have the same numbers with another meaning.
        part.neck.in_channels = shrink(part.neck.in_channels, sizes)
        return sizes
    for name in ('head', 'neck', 'decode_head', 'auxiliary_head'):
        if name in part:
            part[name] = shrink(part[name], sizes)
    if part.type == 'DETR':
        # The transformer keeps its number of channels.
        neck = part.neck[-1] if isinstance(part.neck, list) else part.neck
        neck['out_channels'] = part.bbox_head.get('embed_dims', 256)
    for head in (part.get('decode_head'), part.get('auxiliary_head')):
        # A head without convolutions has the channels of its input.
        if head and head.type in ('UPerHead', 'FCNHead') and head.get('num_convs', 1):
            head.channels = 16
    return sizes


def shrink_sampling(cfg):
    """Let the heads of a two-stage detector see few boxes."""
    cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
    stages = cfg.rcnn if isinstance(cfg.rcnn, list) else [cfg.rcnn]
    for stage in stages:
        stage.sampler.num = 16


def image_side(backbone, scope):
    """Return a side of the images in pixels that suits a backbone."""
    if isinstance(backbone.get('module'), dict):
        return image_side(backbone.module, scope)
    side = backbone.get('img_size', 64 if scope == 'mmpretrain' else 96)
    if scope != 'mmpretrain' and (not isinstance(side, int) or side > 128):
        side = 96
    return side


def shrink_multimodal(model):
    """Make the parts of an image-text model tiny, unless it is small already."""
    if model.fusion.embed_dims <= SMALL_FUSION_WIDTH:
        return
    bert = dict(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=48
    )
    head = model.get('head') or {}
    languages = [head.decoder] if 'decoder' in head else []
    if model.get('text_encoder'):
        model.text_encoder.pop('pretrained', None)
        languages.append(model.text_encoder.config)
    for language in languages:
        language.pop('vocab_size', None)
        language.update(bert)
    fusion = model.fusion
    fusion.update(embed_dims=24, num_heads=3)
    layers = fusion.get('num_iterations', 1)
    if 'stride' in fusion:
        fusion.stride, layers = 1, 2
    fusion.num_layers = layers
    if 'num_latents' in fusion:
        fusion.num_latents = 3
    if 'in_channels' in head:
        head.in_channels = 24
    if 'attention' in model:
        model.attention = 'fusion.layers.0.cross_attn'
    fusion.image_channels = tiny_backbone(model.backbone).get(
        fusion.image_channels, fusion.image_channels
    )


def make_texts(side):
    """Make two images with every kind of text and label.

    The first image has two questions.
    """
    texts = []
    for number, answer in enumerate(['yes', 'no', 'yes']):
        texts.append(DataSample())
        for key, value in dict(
            question=f'is it {answer}?',
            gt_answer=[answer],
            gt_answer_weight=[1.0],
            gt_caption=f'it is {answer}',
            text=f'it is {answer}',
            image_id=number,
            gt_bboxes=torch.tensor([[0.0, 0.0, 8.0, 8.0]]),
        ).items():
            texts[-1].set_field(value, key)
    groups = [DataSample(), DataSample()]
    groups[0].set_field(texts[:2], 'questions')
    groups[1].set_field(texts[2:], 'questions')
    return dict(
        inputs=[
            torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for _ in groups
        ],
        data_samples=groups,
    )


def num_classes(model):
    """Collect the numbers of classes in the config of a model, except the RPN's."""
    if isinstance(model, (list, tuple)):
        return set().union(*map(num_classes, model))
    if not isinstance(model, dict):
        return set()
    own = {model['num_classes']} if 'num_classes' in model else set()
    return own.union(*(num_classes(v) for k, v in model.items() if k != 'rpn_head'))


def inherit(path, folder):
    """Make a config that inherits from a config of the package by name."""
    child = folder / 'child.py'
    name = path.relative_to(ROOT / 'configs').as_posix()
    child.write_text(f"_base_ = 'mmvlfusion::{name}'\n")
    return Config.fromfile(child)


def lazy(dataset):
    """Change the config of a data set so that it does not read its files."""
    dataset.lazy_init = True
    for part in dataset.get('datasets', []):
        lazy(part)
    if 'dataset' in dataset:
        lazy(dataset.dataset)
    return dataset


def check_types(cfg):
    """Check that the types of an inherited config are found.

    mmengine looks them up in the scope of mmvlfusion.
    """
    registry.init_default_scope(cfg.default_scope)
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        registry.DATASETS.build(lazy(loader.dataset))
        for kind in ('sampler', 'batch_sampler'):
            if loader.get(kind):
                assert resolve(registry.DATA_SAMPLERS, loader[kind])
    evaluators = cfg.get('val_evaluator') or []
    for part in evaluators if isinstance(evaluators, list) else [evaluators]:
        assert resolve(registry.METRICS, part)
    for name, kind in dict(
        optim_wrapper=registry.OPTIM_WRAPPERS,
        visualizer=registry.VISUALIZERS,
        train_cfg=registry.LOOPS,
    ).items():
        if 'type' in cfg.get(name, {}):
            assert resolve(kind, cfg[name])
    for hook in cfg.default_hooks.values():
        assert resolve(registry.HOOKS, hook)


def resolve(kind, cfg):
    """Look up the class of a config as mmengine does when it builds it."""
    with kind.switch_scope_and_registry(cfg.get('_scope_')) as own:
        return own.get(cfg['type'])


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_config_resolves_and_trains(path, tmp_path, tokenizer_dir, caplog):
    """All types of an inherited config resolve, and its model trains."""
    torch.manual_seed(0)
    cfg = inherit(path, tmp_path)
    check_types(cfg)
    assert 'Failed to search registry' not in caplog.text
    part = cfg.model.get('student', cfg.model)
    if isinstance(part.get('module'), dict):
        part = part.module
    if 'tokenizer' in part:
        part.tokenizer = str(tokenizer_dir)
        if 'answers' in (part.get('head') or {}):
            part.head.answers = ['yes', 'no']
        shrink_multimodal(part)
        if 'queue_size' in part:
            part.queue_size = 9
        if 'num_bins' in (part.get('head') or {}):
            part.head.update(num_bins=4, first_token=0)
        part.backbone = shrink(part.backbone, {})
        part.init_cfg = None
        model = build_model(cfg)
        check_step(
            model,
            make_texts(part.backbone.get('img_size', 64) if part.backbone else 64),
        )
        return
    scope = cfg.default_scope
    side = image_side(part.backbone, scope)
    sizes = shrink_model(part, scope)
    part.backbone = shrink(part.backbone, {})
    if 'losses' in cfg.model:  # Of a FeatureDistiller.
        shrink_model(cfg.model.teacher, scope)
        cfg.model.losses = shrink(cfg.model.losses, sizes)
    model = build_model(cfg)
    counts = num_classes(part) | num_classes(cfg.get('data_preprocessor', {}))
    assert len(counts) == 1  # Heads and labels agree.
    check_step(model, make_samples(scope, side, counts.pop()))


def check_step(model, batch):
    """Check that the loss is finite and that every parameter has a gradient."""
    data = model.data_preprocessor(batch, training=True)
    losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
    assert torch.isfinite(losses)
    assert [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ] == []


PRETRAINING = 'mplug-base_4xb256-30e_image-text-14m-256px'
VQA = 'mplug-base_vqa_8xb128-8e_vqav2-384px'
VIDEO_QA = 'mplug-base_vqa_8xb128-8e_msrvtt-qa-480px'
CAPTION = 'mplug-large_caption_4xb64-5e_coco-336px'
RETRIEVAL = 'mplug-large_retrieval_8xb128-8e_flickr30k-336px'
VIDEO_RETRIEVAL = 'mplug-large_retrieval_8xb128-8e_msrvtt-224px'
GROUNDING = 'mplug-large_grounding_8xb24-120e_refcoco-plus-336px'


@pytest.mark.parametrize(
    'name, options, head',
    [
        (PRETRAINING, dict(text_end_token=False, max_text_length=25), {}),
        (
            VQA,
            dict(text_end_token=False, max_text_length=80),
            dict(min_length=1, max_length=10, num_beams=5, length_penalty=0.24),
        ),
        (
            VIDEO_QA,
            dict(text_end_token=False),
            dict(num_candidates=128, count_first_token_twice=True),
        ),
        (
            CAPTION,
            {},
            dict(min_length=8, max_length=25, num_beams=5, length_penalty=0.4),
        ),
        (
            RETRIEVAL,
            dict(text_end_token=False, max_text_length=30, num_candidates=256),
            {},
        ),
        (
            VIDEO_RETRIEVAL,
            dict(text_end_token=False, max_text_length=35, num_candidates=128),
            {},
        ),
        (GROUNDING, dict(text_end_token=True, max_text_length=20), {}),
    ],
)
def test_mplug_configs_follow_released_recipe(name, options, head):
    """Texts, lengths and candidates are those of the released scripts."""
    model = Config.fromfile(ROOT / f'configs/mplug/{name}.py').model
    assert {key: model[key] for key in options} == options
    assert {key: model.head[key] for key in head} == head


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_first_comment_states_scores(path):
    """The comment has the published score and the score reached here."""
    comment = first_comment(path)
    assert re.search(r'\. (Published [\w@ /.-]+: |No published score)', comment)
    assert re.search(r'Reached here|Not (trained|tested) here|Trained here', comment)
    assert 'base_batch_size' in Config.fromfile(path).auto_scale_lr


@pytest.mark.parametrize(
    'config, file, advice',
    [
        (
            'tnt/tnt-small-p16_8xb64-100e_cifar10-384px.py',
            'tnt-small-p16_in1k.pth',
            'model.backbone.init_cfg=None',
        ),
        (
            'pela/pela-r2_deit-base-p16_4xb64-50e_in1k.py',
            'deit-base-p16_in1k.pth',
            'model.teacher_ckpt=FILE',
        ),
    ],
)
def test_missing_initial_weights_stop_with_advice(
    config, file, advice, run_tool, tmp_path
):
    output = run_tool(
        '-c',
        'import functools, sys\nfrom mmengine.config import Config, utils\n'
        # Otherwise each config reads all metafiles of its host.
        'utils.load = functools.lru_cache(maxsize=None)(utils.load)\n'
        'from mmvlfusion.engine import InitialWeightsHook\n'
        'from mmengine.runner import EpochBasedTrainLoop as Loop\n'
        'from types import SimpleNamespace as S\n'
        'cfg = Config.fromfile(sys.argv[1])\n'
        'hook = InitialWeightsHook(cfg.default_hooks.initial_weights.hint)\n'
        'if len(sys.argv) > 2: cfg.model.backbone.init_cfg = None\n'
        'test = S(cfg=cfg, _train_loop={})\n'
        'hook.before_run(test)  # Testing needs none.\n'
        'test._train_loop = Loop.__new__(Loop)\n'
        'hook.before_run(test)\n',
        f'configs/{config}',
        env=dict(MMVLFUSION_CHECKPOINTS=str(tmp_path)),
        status=1,
    )
    assert f'{tmp_path}/{file} are missing' in output
    assert 'README.md next to the config' in output
    assert f'--cfg-options {advice}' in output and output.count('--cfg-options') == 1
