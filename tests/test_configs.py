"""Every config parses alone, is listed, builds, and takes a training step."""

from pathlib import Path

import mmengine
import pytest
import torch
from mmengine import registry
from mmengine.config import Config
from mmpretrain.structures import DataSample

from mmvlfusion.apis.build import build_model

from .helpers import ROOT, TINY_ARCH, make_samples

CONFIGS = sorted(
    path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts
)
NAMES = [path.stem for path in CONFIGS]


def test_all_parse_in_a_fresh_interpreter(run_tool):
    """Without our package imported first, as a host's script does it."""
    output = run_tool(
        '-c',
        'import sys\nfrom mmengine.config import Config\n'
        'for path in sys.argv[1:]:\n'
        '    print("scope:", Config.fromfile(path).default_scope)',
        *CONFIGS,
    )
    scopes = [
        line.split()[1] for line in output.split('\n') if line.startswith('scope:')
    ]
    assert len(scopes) == len(CONFIGS)
    assert set(scopes) == {'mmpretrain', 'mmdet', 'mmseg'}


def test_names_are_unique():
    names = [path.name for path in (ROOT / 'configs').rglob('*.py')]
    assert len(set(names)) == len(names)


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


def shrink(value, sizes):
    """A config with other integers and no initial weights."""
    if isinstance(value, dict):
        return {
            k: None if k == 'init_cfg' else shrink(v, sizes) for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(shrink(v, sizes) for v in value)
    return sizes.get(value, value) if type(value) is int else value


def tiny_backbone(backbone):
    """Make a backbone tiny, of the same depth where blocks are chosen; the
    channels that took the place of others, by those."""
    kind = backbone.get('module', backbone.type).split('.')[-1]
    if kind == 'TNT':
        depth = 4 if isinstance(backbone.arch, dict) else 12
        backbone.arch = dict(
            TINY_ARCH, num_layers=depth, word_size=backbone.get('patch_size', 16) // 4
        )
        return {192: 24, 384: 24, 640: 24}
    if kind == 'SwinTransformer':
        backbone.arch = dict(embed_dims=24, depths=(1, 1, 1, 1), num_heads=(2, 2, 4, 4))
        return {128: 24, 256: 48, 512: 96, 1024: 192}
    if kind == 'VisionTransformer':
        depth = 1 + max(backbone.get('out_indices', [1]))
        backbone.arch = dict(
            embed_dims=24, num_layers=depth, num_heads=3, feedforward_channels=48
        )
        return {384: 24, 768: 24, 1024: 24}
    return {}


def shrink_multimodal(model):
    """Make the parts of a model of images and texts tiny."""
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
        head.update(in_channels=24, answers=['yes', 'no'])
    fusion.image_channels = tiny_backbone(model.backbone).get(
        fusion.image_channels, fusion.image_channels
    )


def make_texts(side):
    """Two images with all that may be said of them, of which one has two
    questions where they are grouped."""
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
    """Every number of classes in a model's config, without the RPN's."""
    if isinstance(model, (list, tuple)):
        return set().union(*map(num_classes, model))
    if not isinstance(model, dict):
        return set()
    own = {model['num_classes']} if 'num_classes' in model else set()
    return own.union(*(num_classes(v) for k, v in model.items() if k != 'rpn_head'))


def inherit(path, folder):
    """A config that inherits one of ours by name, as users do."""
    child = folder / 'child.py'
    name = path.relative_to(ROOT / 'configs').as_posix()
    child.write_text(f"_base_ = 'mmvlfusion::{name}'\n")
    return Config.fromfile(child)


def lazy(dataset):
    """The config of a data set that does not read its files."""
    dataset.lazy_init = True
    for part in dataset.get('datasets', []):
        lazy(part)
    if 'dataset' in dataset:
        lazy(dataset.dataset)
    return dataset


def check_types(cfg):
    """mmengine looks up types of an inherited config in our scope."""
    registry.init_default_scope(cfg.default_scope)
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        if 'ImageTextShards' not in loader.dataset.type:  # It needs files.
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
    """The class of a config, searched for as mmengine builds it."""
    with kind.switch_scope_and_registry(cfg.get('_scope_')) as own:
        return own.get(cfg['type'])


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_training_step(path, tmp_path, tokenizer_dir, caplog):
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
        if '-mini_' not in path.stem:
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
    backbone = part.backbone
    # Small models are so as they are, but for TNT's width.
    mini = '-mini-' in path.stem or '-micro-' in path.stem
    if '-lite-' not in path.stem:
        sizes = tiny_backbone(backbone)
        if mini:
            sizes = {96: 24, 128: 24}
        elif scope == 'mmdet' and 'neck' in part and len(sizes) == 4:
            part.neck.in_channels = shrink(part.neck.in_channels, sizes)
            sizes = {}
        for name in ('head', 'neck', 'decode_head', 'auxiliary_head'):
            if name in part:
                part[name] = shrink(part[name], sizes)
    side = backbone.get('img_size', 64)
    if scope != 'mmpretrain':
        side = side if mini else 96
    elif '-lite-' in path.stem:
        side = 32
    if 'detr_tnt-mini' in path.stem:
        # Its head counts on the 128 channels of the transformer.
        part.neck[1].out_channels = 128
    part.backbone = shrink(backbone, {})
    model = build_model(cfg)
    counts = num_classes(part) | num_classes(cfg.get('data_preprocessor', {}))
    assert len(counts) == 1  # Heads and labels agree.
    check_step(model, make_samples(scope, side, counts.pop()))


def check_step(model, batch):
    """The loss is finite, and every parameter takes part."""
    data = model.data_preprocessor(batch, training=True)
    losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
    assert torch.isfinite(losses)
    assert [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ] == []


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_first_comment_and_scaling(path):
    text = path.read_text()
    assert text.startswith('# ')
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
def test_missing_initial_weights_stop_with_directions(
    config, file, advice, run_tool, tmp_path
):
    output = run_tool(
        '-c',
        'import sys\nfrom mmengine.config import Config\n'
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
    assert 'README.md beside the config' in output
    assert f'--cfg-options {advice}' in output and output.count('--cfg-options') == 1
