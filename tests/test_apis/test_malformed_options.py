"""Malformed configs and arguments end in one error with value and remedy."""

import copy
import re

import pytest
from mmengine.registry import MODELS, init_default_scope

from ..helpers import ROOT, TINY_ARCH, TNT, load_tool

FUSION = dict(embed_dims=24, image_channels=24, num_heads=2, num_layers=2)
LATENTS = dict(FUSION, num_latents=4, num_iterations=2)
# The values are checked before the tokenizer is used.
PART = dict(embed_dims=24, tokenizer=None)
MODULES = dict(
    TNT={k: v for k, v in TNT.items() if k != 'type'},
    LowRank=dict(TNT, module=TNT['type']),
    JointAdaptiveFusion=LATENTS,
    PerceiverFusion=LATENTS,
    CoTokenizationFusion=LATENTS,
    SkipConnectedFusion=dict(FUSION, stride=1),
    ConcatFusion=FUSION,
    CrossAttentionFusion=FUSION,
    AnswerClassificationHead=dict(answers=['yes', 'no'], in_channels=24),
    TextGenerationHead=dict(tokenizer=None, decoder=dict(model_type='bert')),
    MaskedLanguageObjective=PART,
    MatchingObjective=PART,
    ContrastiveObjective=PART,
    MaskedImageObjective=dict(PART, patch_size=8),
    PrefixLanguageObjective=PART,
)
# Values of the wrong type or out of range, by kind of argument.
COUNT = (0, -1, 1.5, 'two', None)
FRACTION = (-0.1, 1.5, 'x')
POSITIVE = (0, -1, 'x', float('nan'))
CHOICE = ('unknown', 3)
ARGUMENTS = {
    'TNT': dict(
        patch_size=COUNT,
        in_channels=COUNT,
        img_size=(*COUNT, (1, 2, 3)),
        drop_rate=FRACTION,
        drop_path_rate=FRACTION,
        ffn_ratio=POSITIVE,
        out_type=CHOICE,
        variant=CHOICE,
        arch=('smal', 5),
        out_indices=('last', 99),
        frozen_stages=(99, -2, '1'),
    ),
    'LowRank': dict(
        ratio=(1, 0, -2, 'two', None, float('nan')),
        rank_multiple=COUNT,
        min_features=(-1, 'ten', 1.5),
        exclude=('vits', ['zzz'], ['('], [3], 3),
        ranks=([3], {'none': 3}, {'layers.0.outer.attn.qkv': 0}),
        module=('mmvlfusion.TNTT', 3, None),
    ),
    'JointAdaptiveFusion': dict(resampler=CHOICE, combination=CHOICE),
    'SkipConnectedFusion': dict(stride=(*COUNT, 5), schedule=CHOICE),
    'AnswerClassificationHead': dict(
        in_channels=COUNT, answers=([], 3, ['yes', 'Yes'], [1], '/none.json')
    ),
    'TextGenerationHead': dict(
        num_beams=COUNT,
        num_candidates=COUNT,
        max_length=COUNT,
        min_length=(-1, 99, 'x'),
    ),
    'MaskedLanguageObjective': dict(ratio=(*POSITIVE, 1.5), alpha=FRACTION),
    'MaskedImageObjective': dict(ratio=(*POSITIVE, 1, 1.5), patch_size=COUNT),
    'ContrastiveObjective': dict(
        feature_dims=COUNT, temperature=POSITIVE, alpha=FRACTION, pool=CHOICE
    ),
}
for name, settings in MODULES.items():
    arguments = ARGUMENTS.setdefault(name, {})
    arguments['unkown_key'] = (1,)
    if name.endswith('Fusion'):
        for key in ('embed_dims', 'image_channels', 'num_heads', 'num_layers'):
            arguments[key] = COUNT
        arguments.update(num_heads=(*COUNT, 5), drop_rate=FRACTION)
    if 'num_latents' in settings:
        arguments.update(num_latents=COUNT, num_iterations=(*COUNT, 9))
    if name.endswith('Objective'):
        arguments['weight'] = (-1, 'x', None)
CASES = [
    (name, key, value)
    for name, arguments in ARGUMENTS.items()
    for key, values in arguments.items()
    for value in values
]


def check_message(message, key, value):
    """Check that an error names the argument and its value."""
    assert key.replace('arch', '') in message
    parts = value if isinstance(value, (list, dict)) and value else [value]
    shown = [repr(part).strip("'") for part in parts]
    assert any(part in message for part in shown) or '=' not in message, message
    assert len(message) < 700


@pytest.mark.parametrize(
    'name, key, value', CASES, ids=[f'{n}-{k}-{v}' for n, k, v in CASES]
)
def test_malformed_argument_of_a_module(name, key, value):
    init_default_scope('mmpretrain')
    cfg = copy.deepcopy({**MODULES[name], 'type': f'mmvlfusion.{name}', key: value})
    # Python's own error names the class and an unknown argument.
    kind = TypeError if key == 'unkown_key' else (ValueError, FileNotFoundError)
    with pytest.raises(kind) as error:
        MODELS.build(cfg)
    if key == 'unkown_key':
        assert "unexpected keyword argument 'unkown_key'" in str(error.value)
    else:
        check_message(str(error.value), key, value)


@pytest.mark.parametrize('key', TINY_ARCH)
@pytest.mark.parametrize('value', [0, -1, 1.5, '3'])
def test_malformed_setting_of_an_architecture(key, value):
    cfg = copy.deepcopy(TNT)
    cfg['arch'] = dict(TINY_ARCH, **{key: value})
    message = re.escape(f'arch.{key}={value!r} must be an integer of at least 1')
    with pytest.raises(ValueError, match=message):
        MODELS.build(cfg)


CONFIG = str(ROOT / 'configs/tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py')


@pytest.mark.parametrize(
    'tool, words, message',
    [
        ('compress.py', [], 'required: config, checkpoint'),
        ('compress.py', [CONFIG, 'c', '--ratio', 'two'], "invalid float value: 'two'"),
        ('compress.py', [CONFIG, 'c', '--method', 'x'], "invalid choice: 'x'"),
        ('compress.py', [CONFIG, 'c', '--calibration', '-1'], 'at least 0, got -1'),
        ('compress.py', [CONFIG, 'c', '--shape', '0', '8'], 'two positive numbers'),
        ('compress.py', [CONFIG, 'c', '--shape', '8'], 'expected 2 arguments'),
        ('analysis_tools/get_flops.py', [], 'either a config or --table'),
        ('analysis_tools/get_flops.py', [CONFIG, '--shape', '0'], 'positive numbers'),
        ('train.py', [], 'required: config'),
        ('train.py', [CONFIG, '--launcher', 'x'], "invalid choice: 'x'"),
        ('test.py', [CONFIG], 'required: checkpoint'),
        ('test.py', [CONFIG, 'c', '--out-item', 'x'], "invalid choice: 'x'"),
        ('model_converters/tnt.py', ['a', 'b', '--to', 'x'], "invalid choice: 'x'"),
    ],
    ids=lambda value: ' '.join(value[1:]) if isinstance(value, list) else None,
)
def test_malformed_command_line(tool, words, message, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', [tool, *words])
    with pytest.raises(SystemExit) as status:
        load_tool(tool).main()
    assert status.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    'tool, words, message',
    [
        ('train.py', ['none.py'], "config file 'none.py' does not exist"),
        ('train.py', [CONFIG, '--resume', 'none.pth'], "'none.pth' does not exist"),
        (
            'train.py',
            [CONFIG, '--cfg-options', 'modl.backbone.depth=1'],
            "did you mean 'model'",
        ),
        ('test.py', [CONFIG, 'none.pth'], "checkpoint 'none.pth' does not exist"),
        ('compress.py', ['none.py', 'c'], "config file 'none.py' does not exist"),
        ('compress.py', [CONFIG, 'none.pth'], "checkpoint 'none.pth' does not exist"),
        (
            'analysis_tools/get_flops.py',
            ['none.py'],
            "config file 'none.py' does not exist",
        ),
        ('model_converters/tnt.py', ['none.pth', 'out'], "'none.pth' does not exist"),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_missing_file_of_a_command_line(tool, words, message, monkeypatch):
    monkeypatch.setattr('sys.argv', [tool, *words])
    with pytest.raises((FileNotFoundError, ValueError), match=re.escape(message)):
        load_tool(tool).main()
