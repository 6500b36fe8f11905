"""Write a trained model as a folder that others load, and that the hub shows.

Input: a config and a checkpoint of any host. For a PELADistiller the student is
taken.
Output: a folder for ``mmvlfusion.from_pretrained`` and for the inferencers of the
hosts:

- ``config.py``: the config with the preprocessing of images in its pipelines, without
  initial weights;
- ``model.safetensors``: the weights as plain tensors, and the names of the classes;
- ``tokenizer``: for models that read or write text;
- ``README.md``: a model card.

With ``--to timm`` the folder is for timm instead: ``config.json`` and
``model.safetensors``.

Examples:

    python tools/publish.py CONFIG CHECKPOINT --out published --metrics metrics.json
    python tools/publish.py CONFIG CHECKPOINT --out for_timm --to timm
"""

import argparse
import json
import os
import os.path as osp
from typing import Any, Dict, Iterator, Optional, Tuple

import mmengine
import torch
import yaml
from mmengine.config import Config, ConfigDict, DictAction
from torch import nn

import mmvlfusion
from mmvlfusion.apis.build import (
    build_model,
    dataset_meta_of,
    drop_initial_weights,
)
from mmvlfusion.apis.inference import task_of
from mmvlfusion.apis.options import read_config
from mmvlfusion.apis.pretrained import CARD, CONFIG, TOKENIZER, WEIGHTS
from mmvlfusion.hosts import host_of, input_shape, test_dataset
from mmvlfusion.models import TNT
from mmvlfusion.models.adapters.lora import LoRALayer, merge_lora_, to_merged_config
from mmvlfusion.models.backbones.tnt.conversion import convert
from mmvlfusion.models.low_rank import LowRankLinear, merge_
from mmvlfusion.models.low_rank.builder import to_dense_config
from mmvlfusion.models.utils import (
    load_state_dict,
    read_checkpoint,
    save_safetensors,
    unwrap_model,
)
from mmvlfusion.utils.checks import require

# Replaced by the folder of the config when mmengine reads it.
HERE = '{{ fileDirname }}'
# Settings of a run that others do not share.
RUN_KEYS = ('launcher', 'load_from', 'resume', 'work_dir')
# Names that the hub has for our tasks.
HUB_TASKS = dict(
    classification='image-classification',
    detection='object-detection',
    segmentation='image-segmentation',
    vqa='visual-question-answering',
    caption='image-to-text',
)
# Collections of the metafiles, by the types of a config.
COLLECTIONS = dict(
    TNT='TNT',
    VSSD='VSSD',
    LowRank='PELA',
    PELADistiller='PELA',
    PELASwinTransformer='PELA',
    PELAVisionTransformer='PELA',
    JointAdaptiveFusion='JAR',
    SkipConnectedFusion='mPLUG',
    CrossAttentionFusion='ALBEF',
)
# Largest difference between the logits here and in timm.
TOLERANCE = 1e-4


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of any host')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument(
        '--weights',
        choices=['ema', 'trained'],
        help='the EMA weights or those that were trained, of a run with EMAHook '
        '(default: those that tools/test.py tests, which are the EMA weights if '
        'there are any)',
    )
    parser.add_argument(
        '--dense',
        action='store_true',
        help='merge low-rank layers and LoRA into dense layers',
    )
    parser.add_argument(
        '--to',
        choices=['mmvlfusion', 'timm'],
        default='mmvlfusion',
        help='library that loads the folder (default: %(default)s)',
    )
    parser.add_argument(
        '--metrics',
        help='json file of tools/test.py --out-item metrics, for the model card',
    )
    parser.add_argument(
        '--name', help='name of the model (default: that of the config)'
    )
    parser.add_argument('--license', help='license of the weights, such as mit')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings to override, as key=value',
    )
    args = parser.parse_args()
    args.name = args.name or osp.splitext(osp.basename(args.config))[0]
    if osp.isdir(args.out) and os.listdir(args.out):
        parser.error(f'--out {args.out} has files already: choose another folder')
    if args.metrics and not osp.isfile(args.metrics):
        parser.error(f'the file --metrics {args.metrics} does not exist')
    return args


def select_weights(path: str, kind: Optional[str]) -> Dict[str, torch.Tensor]:
    """Read the trained weights or their EMA.

    A checkpoint of a run with ``EMAHook`` has the EMA weights as ``state_dict``
    and the trained ones as ``ema_state_dict``, because mmengine exchanges them
    for deployment.

    Args:
        path (str): The checkpoint.
        kind (str, optional): ``'ema'``, ``'trained'``, or None for
            ``state_dict``.

    Returns:
        dict[str, torch.Tensor]: The weights.

    Raises:
        ValueError: If ``kind`` is ``'ema'`` and the checkpoint has none.
    """
    weights = load_state_dict(path)
    if kind is None:
        return weights
    content = read_checkpoint(path)
    other = content.get('ema_state_dict') if isinstance(content, dict) else None
    if kind == 'ema' and other is None:
        raise ValueError(
            f'--weights ema: {path} has no ema_state_dict, since the run had no '
            'EMAHook: omit --weights.'
        )
    if kind == 'trained' and other is not None:
        for name, value in other.items():
            if name.startswith('module.'):
                weights[name.removeprefix('module.')] = value
    return weights


def load(args: argparse.Namespace) -> Tuple[Config, nn.Module]:
    """Load the config and the model, or those of the student of a distiller.

    Args:
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        tuple[Config, nn.Module]: The config and the model with its weights and
        its ``dataset_meta``, in evaluation mode.

    Raises:
        ValueError: If the weights do not fit the model.
    """
    weights = select_weights(args.checkpoint, args.weights)
    cfg = read_config(args.config, args.cfg_options)
    model = build_model(cfg)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f'{args.checkpoint} does not fit {args.config}: {error}'
        ) from error
    cfg.model = cfg.model.get('student', cfg.model)
    model = unwrap_model(model, deploy=True).eval()
    content = read_checkpoint(args.checkpoint)
    model.dataset_meta = dataset_meta_of(content if isinstance(content, dict) else {})
    if args.dense:
        kinds = (LowRankLinear, LoRALayer)
        if not any(isinstance(module, kinds) for module in model.modules()):
            raise ValueError(
                f'--dense: the {type(model).__name__} of {args.config} has no low-rank '
                'layer and no LoRA: omit --dense.'
            )
        merge_(model)
        merge_lora_(model)
        cfg.model = to_merged_config(to_dense_config(cfg.model))
    return cfg, model


def make_portable(cfg: Config, model: nn.Module) -> None:
    """Remove from a config what only this machine has, in place.

    Args:
        cfg (Config): The config.
        model (nn.Module): Its model.
    """
    for key in RUN_KEYS:
        cfg.pop(key, None)
    cfg.load_from = f'{HERE}/{WEIGHTS}'
    drop_initial_weights(cfg.model)
    _embed_texts(cfg.model, model)
    # So that hosts read safetensors, also for models without a module of ours.
    imports = list(cfg.get('custom_imports', {}).get('imports', []))
    cfg.custom_imports = dict(
        imports=[*imports, 'mmvlfusion.models'], allow_failed_imports=False
    )


def _embed_texts(cfg: ConfigDict, model: Any) -> None:
    """Replace names of tokenizers, language models and answer files, in place."""
    if isinstance(cfg.get('tokenizer'), str):
        cfg.tokenizer = f'{HERE}/{TOKENIZER}'
    elif 'tokenizer' in cfg:
        cfg.tokenizer.name_or_path = f'{HERE}/{TOKENIZER}'
    if cfg.get('pretrained') or isinstance(cfg.get('config'), str):
        cfg.config = _language_config(model.text_encoder.encoder)
        cfg.pretrained = None
    if isinstance(cfg.get('decoder'), str):
        cfg.decoder = _language_config(model.head.decoder)
    if isinstance(cfg.get('answers'), str):
        cfg.answers = model.head.answers
    for part in cfg.values():
        if isinstance(part, dict):
            _embed_texts(part, model)


def _language_config(model: Any) -> Dict[str, Any]:
    """Settings of a model of the library transformers, without its name."""
    settings = model.config.to_diff_dict()
    for key in ('architectures', 'transformers_version', '_name_or_path'):
        settings.pop(key, None)
    return dict(settings, model_type=model.config.model_type)


def local_paths(value: Any) -> Iterator[str]:
    """Find the absolute paths in a config.

    Args:
        value (Any): A part of the config.

    Yields:
        str: A path.
    """
    if isinstance(value, str) and osp.isabs(value):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from local_paths(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from local_paths(part)


def publish(cfg: Config, model: nn.Module, args: argparse.Namespace) -> None:
    """Write the folder for mmvlfusion and the hosts.

    Args:
        cfg (Config): The config, which is changed.
        model (nn.Module): The model of ``load``.
        args (argparse.Namespace): The arguments of the command line.

    Raises:
        ValueError: If the folder does not give the same model when it is read.
    """
    card = make_card(cfg, model, args)
    make_portable(cfg, model)
    os.makedirs(args.out, exist_ok=True)
    config, weights = osp.join(args.out, CONFIG), osp.join(args.out, WEIGHTS)
    save_safetensors(model, weights, model.dataset_meta)
    if hasattr(model, 'tokenizer'):
        model.tokenizer.save_pretrained(osp.join(args.out, TOKENIZER))
    cfg.dump(config)
    with open(osp.join(args.out, CARD), 'w') as file:
        file.write(card)
    again = build_model(read_config(config), weights).state_dict()
    for name, value in model.state_dict().items():
        if not torch.equal(again[name], value):
            raise ValueError(
                f'{weights} gives another {name} than {args.checkpoint}: the config '
                'builds a different model when it is read again.'
            )
    for path in sorted(set(local_paths(cfg.to_dict()))):
        print(f'{CONFIG} names a path of this machine: {path}')


def make_card(cfg: Config, model: nn.Module, args: argparse.Namespace) -> str:
    """Make the model card, with the metadata of the hub.

    Args:
        cfg (Config): The config before ``make_portable``.
        model (nn.Module): The model.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        str: The card, as Markdown.
    """
    try:
        task = task_of(cfg, model)
    except ValueError:
        task = 'pre-training'
    papers = find_papers(read_config(args.config).model)
    metadata: Dict[str, Any] = dict(
        library_name='mmvlfusion',
        tags=['mmvlfusion', 'openmmlab', host_of(cfg).name, task]
        + [name.lower() for name in papers]
        + sorted({f'arxiv:{url.rsplit("/", 1)[1]}' for url in papers.values()}),
    )
    if args.license:
        metadata['license'] = args.license
    if task in HUB_TASKS:
        metadata['pipeline_tag'] = HUB_TASKS[task]
    scores = read_metrics(args.metrics) if args.metrics else {}
    if scores:
        metadata['model-index'] = [
            dict(
                name=args.name,
                results=[
                    dict(
                        task=dict(type=HUB_TASKS.get(task, task)),
                        dataset=dict(type=dataset, name=dataset),
                        metrics=[
                            dict(type=name, value=value)
                            for name, value in scores.items()
                        ],
                    )
                ],
            )
            for dataset in [_dataset_name(cfg)]
        ]
    lines = [f'| {name} | {value:g} |' for name, value in scores.items()]
    table = '\n'.join(['| metric | value |', '|---|---|', *lines])
    classes = model.dataset_meta.get('classes') or ()
    weights = dict(ema='EMA weights.', trained='Trained weights, not their EMA.')
    parts = [
        '---\n' + yaml.safe_dump(metadata, sort_keys=False) + '---',
        f'# {args.name}',
        f'The model `{type(model).__name__}` for {task}, with '
        f'{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters. It '
        f'needs mmvlfusion {mmvlfusion.__version__} and {host_of(cfg).name}.',
        '## Use',
        '```python\nimport mmcv\nimport mmvlfusion\n\n'
        f"predictor = mmvlfusion.from_pretrained('{osp.basename(args.out)}'"
        + (f", task='{task}'" if task != 'pre-training' else '')
        + ')\n'
        + _example_call(task)
        + '```',
        'The weights are plain tensors. Loading runs `config.py`, which is Python, and '
        'no other code of this folder. The inferencers and scripts of '
        f'{host_of(cfg).name} take `config.py` and `model.safetensors` as config and '
        'checkpoint.',
        '## Scores',
        table if scores else 'Not measured.',
        '## Weights',
        weights.get(args.weights, 'Those that `tools/test.py` tests.'),
        '## Preprocessing',
        f'Test pipeline: {_pipeline_steps(cfg)}.',
    ]
    if papers:
        parts += [
            '## Papers',
            '\n'.join(f'- {name}: {url}' for name, url in papers.items()),
        ]
    if classes:
        parts += ['## Classes', ', '.join(map(str, classes))]
    return '\n\n'.join(parts) + '\n'


def _example_call(task: str) -> str:
    """The line of Python that predicts, for the card."""
    text = dict(vqa=", 'what is on the table?'", grounding=", 'the red cup'")
    if task == 'retrieval':
        return "prediction = predictor.search('a red cup', images, names)\n"
    if task == 'pre-training':
        return ''
    return f"prediction = predictor(mmcv.imread('image.jpg'){text.get(task, '')})\n"


def find_papers(cfg: dict) -> Dict[str, str]:
    """Find the papers of the types in a config, in the metafiles.

    Args:
        cfg (dict): The model config.

    Returns:
        dict[str, str]: Address of the paper by name of the method.
    """
    root = osp.join(osp.dirname(mmvlfusion.__file__), '.mim')
    urls = {}
    for path in mmengine.load(osp.join(root, 'model-index.yml'))['Import']:
        for entry in mmengine.load(osp.join(root, path)).get('Collections', []):
            if 'Paper' in entry:
                urls[entry['Name']] = entry['Paper']['URL']
    types = set(_types(cfg))
    names = dict.fromkeys(name for kind, name in COLLECTIONS.items() if kind in types)
    return {name: urls[name] for name in names}


def _types(value: Any) -> Iterator[str]:
    """Types of a config that are ours, without their scope."""
    if isinstance(value, dict):
        for part in value.values():
            yield from _types(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _types(part)
    elif isinstance(value, str) and value.startswith('mmvlfusion.'):
        yield value.removeprefix('mmvlfusion.')


def read_metrics(path: str) -> Dict[str, float]:
    """Read the scores of a test.

    Args:
        path (str): The json file.

    Returns:
        dict[str, float]: Scores by name, without times.

    Raises:
        ValueError: If it has none.
    """
    content = mmengine.load(path)
    scores = {
        name: round(float(value), 4)
        for name, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, (int, float)) and not name.endswith('time')
    }
    if not scores:
        raise ValueError(
            f'--metrics {path} has no scores: write it with tools/test.py CONFIG '
            'CHECKPOINT --out-item metrics --out metrics.json.'
        )
    return scores


def _dataset_name(cfg: Config) -> str:
    """Folder of the test set, otherwise its type."""
    dataset = test_dataset(cfg)
    root = str(dataset.get('data_root') or '').rstrip('/')
    return osp.basename(root) or str(dataset['type'])


def _pipeline_steps(cfg: Config) -> str:
    """Names of the steps of the test pipeline, and mean and standard deviation."""
    try:
        steps = test_dataset(cfg)['pipeline']
    except ValueError:
        return 'none'
    text = ', '.join(f'`{step["type"]}`' for step in steps)
    preprocessor = (
        cfg.get('data_preprocessor') or cfg.model.get('data_preprocessor') or {}
    )
    for key in ('mean', 'std'):
        if preprocessor.get(key) is not None:
            text += f'; {key} {[round(float(x), 3) for x in preprocessor[key]]}'
    return text


def publish_for_timm(cfg: Config, model: nn.Module, args: argparse.Namespace) -> float:
    """Write the folder for timm.

    Args:
        cfg (Config): The config.
        model (nn.Module): The model of ``load``.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        float: Largest difference of the logits of both on a random image.

    Raises:
        ValueError: If timm has no such model, or its logits differ.
    """
    timm = require('timm')
    tnt, fc = getattr(model, 'backbone', None), getattr(model, 'head', None)
    fc = getattr(fc, 'fc', None)
    is_classifier = isinstance(tnt, TNT) and isinstance(fc, nn.Linear)
    if not is_classifier or getattr(model, 'neck', None) is not None:
        raise ValueError(
            '--to timm takes an ImageClassifier with the backbone mmvlfusion.TNT, no '
            f'neck and a LinearClsHead, but {args.config} has a '
            f'{type(model).__name__} with {type(tnt).__name__}.'
        )
    if any(isinstance(module, LowRankLinear) for module in model.modules()):
        raise ValueError(
            '--to timm: timm has no low-rank layers, add --dense to merge them.'
        )
    weights, dropped = convert(model.state_dict(), 'timm')
    if dropped:
        raise ValueError(
            f'--to timm: timm has no counterpart of {len(dropped)} weights, such as '
            f'{dropped[0]}.'
        )
    model_args = timm_arguments(tnt, fc)
    kind = 'tnt_s_legacy_patch16_224' if model_args['legacy'] else 'tnt_s_patch16_224'
    other = timm.create_model(kind, **model_args).eval()
    try:
        other.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"timm's TNT cannot have these weights: {error}. It needs inner "
            'transformers in all blocks, and both position embeddings.'
        ) from error
    image = torch.rand(2, model_args['in_chans'], *tnt.img_size)
    with torch.no_grad():
        difference = float((other(image) - fc(tnt(image)[-1])).abs().max())
    if difference > TOLERANCE:
        raise ValueError(
            f'The logits of timm differ by {difference:.2g} on a random image, more '
            f'than {TOLERANCE}: its TNT has no such settings, for example of norm_cfg.'
        )
    os.makedirs(args.out, exist_ok=True)
    path = osp.join(args.out, WEIGHTS)
    require('safetensors.torch').save_file(weights, path, {'format': 'pt'})
    content = dict(
        architecture=kind,
        num_classes=fc.out_features,
        num_features=fc.in_features,
        global_pool=model_args['global_pool'],
        model_args=model_args,
        pretrained_cfg=timm_preprocessing(cfg, model, tnt),
    )
    classes = model.dataset_meta.get('classes')
    if classes:
        content['label_names'] = list(classes)
    with open(osp.join(args.out, 'config.json'), 'w') as file:
        json.dump(content, file, indent=2)
    return difference


def timm_arguments(tnt: TNT, fc: nn.Linear) -> Dict[str, Any]:
    """Arguments of timm's TNT.

    Args:
        tnt (TNT): The backbone.
        fc (nn.Linear): The classifier.

    Returns:
        dict[str, Any]: The arguments.

    Raises:
        ValueError: If the output of the backbone is not that of timm.
    """
    pools = dict(cls_token='token', avg_featmap='avg')
    if tnt.out_type not in pools:
        raise ValueError(
            f'--to timm: out_type={tnt.out_type!r} is not one of {list(pools)}.'
        )
    hidden = tnt.layers[0].outer.ffn.feedforward_channels
    return dict(
        img_size=list(tnt.img_size),
        patch_size=tnt.patch_size,
        in_chans=tnt.word_embed.projection.in_channels,
        num_classes=fc.out_features,
        global_pool=pools[tnt.out_type],
        embed_dim=tnt.arch['embed_dims_outer'],
        inner_dim=tnt.arch['embed_dims_inner'],
        depth=len(tnt.layers),
        num_heads_inner=tnt.arch['num_heads_inner'],
        num_heads_outer=tnt.arch['num_heads_outer'],
        mlp_ratio=hidden / tnt.arch['embed_dims_outer'],
        first_stride=tnt.arch['word_size'],
        legacy=tnt.variant == 'legacy',
    )


def timm_preprocessing(cfg: Config, model: nn.Module, tnt: TNT) -> Dict[str, Any]:
    """Preprocessing of images as timm describes it.

    Args:
        cfg (Config): The config.
        model (nn.Module): The model.
        tnt (TNT): Its backbone.

    Returns:
        dict[str, Any]: The settings.

    Raises:
        ValueError: If the model reads BGR images.
    """
    preprocessor: Any = model.data_preprocessor
    if not preprocessor.to_rgb:
        raise ValueError(
            '--to timm: the model reads BGR images (data_preprocessor.to_rgb=False), '
            'but timm gives RGB images.'
        )
    steps = {step['type']: step for step in test_dataset(cfg)['pipeline']}
    height, width = input_shape(cfg) or tnt.img_size
    resize = steps.get('ResizeEdge', {})
    return dict(
        input_size=[tnt.word_embed.projection.in_channels, height, width],
        mean=(preprocessor.mean.flatten() / 255).tolist(),
        std=(preprocessor.std.flatten() / 255).tolist(),
        interpolation=resize.get('interpolation', 'bilinear'),
        crop_pct=min(height, width) / resize.get('scale', min(height, width)),
        fixed_input_size=True,
        first_conv='pixel_embed.proj',
        classifier='head',
    )


def main() -> None:
    """Publish the model of the command line."""
    args = parse_args()
    cfg, model = load(args)
    if args.to == 'timm':
        difference = publish_for_timm(cfg, model, args)
        print(
            f'Written: {args.out}; timm.create_model("local-dir:{args.out}", '
            f'pretrained=True) gives the same logits up to {difference:.2g}.'
        )
        return
    publish(cfg, model, args)
    size = os.path.getsize(osp.join(args.out, WEIGHTS)) / 1e6
    print(
        f'Written: {args.out} ({size:.1f} MB of weights). Load it with '
        f'mmvlfusion.from_pretrained({args.out!r}), which runs its {CONFIG} and no '
        'other code of the folder.'
    )


if __name__ == '__main__':
    main()
