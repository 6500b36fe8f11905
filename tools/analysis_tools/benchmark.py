"""Compare the speed and memory of models side by side, in one run.

The models take turns, so that a noisy machine disturbs all alike; printed are
the median speed and the median of the ratios to the first model in the same
round. A model is ``timm:NAME``,
``mmpretrain:TYPE`` (with ``:ARCH`` where the type has several) or a config, the
latter with settings after it: ``CONFIG+KEY=VALUE``. Of a PELADistiller the
student is taken.

    python tools/analysis_tools/benchmark.py timm:tnt_s_patch16_224 \\
        configs/tnt/tnt-small-p16_8xb128-300e_in1k.py --dtype bf16 --compile
"""

import argparse
from statistics import median
from typing import Any, Callable, Dict, List

import torch
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvlfusion.analysis.profiling import keep_heap, peak_memory, time_call
from mmvlfusion.apis.build import build_model
from mmvlfusion.models.utils import unwrap_model

DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)


class Classifier(nn.Module):
    """A host's classifier, called with images alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> Any:
        return self.model(x, mode='tensor')


def build(name: str) -> nn.Module:
    """Build a model by its name, with random weights."""
    kind, _, rest = name.partition(':')
    if kind == 'timm':
        import timm

        return timm.create_model(rest)
    if kind == 'mmpretrain':
        init_default_scope('mmpretrain')
        backbone, _, arch = rest.partition(':')
        cfg = dict(type=f'mmpretrain.{backbone}')
        if arch:
            cfg['arch'] = arch
        return MODELS.build(cfg)
    path, *settings = name.split('+')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(
        {
            key: DictAction._parse_iterable(value)
            for key, value in (x.split('=', 1) for x in settings)
        }
    )
    return Classifier(unwrap_model(build_model(cfg), deploy=True))


def last_tensor(output: Any) -> torch.Tensor:
    while isinstance(output, (tuple, list)):
        output = output[-1]
    return output


def make_step(model: nn.Module, x: torch.Tensor, train: bool) -> Callable:
    """A function that runs one forward pass or one training step."""
    if not train:
        return torch.inference_mode()(lambda: model(x))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        loss = last_tensor(model(x)).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('models', nargs='+', help='the first is the reference')
    parser.add_argument('--mode', choices=['inference', 'train'], default='inference')
    parser.add_argument('--dtype', choices=list(DTYPES), default='fp32')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--img-size', type=int, default=224)
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--threads', type=int, default=0, help='0: all cores')
    args = parser.parse_args()
    if len(set(args.models)) < len(args.models):
        parser.error('a model is named twice')
    for name in ('batch_size', 'img_size', 'rounds'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be positive')
    return args


def run(args: argparse.Namespace) -> Dict[str, dict]:
    """Build, warm up and time all models; times in seconds, memory in MiB."""
    train = args.mode == 'train'
    x = torch.randn(
        args.batch_size, 3, args.img_size, args.img_size, device=args.device
    )
    x = x.to(DTYPES[args.dtype])
    steps: List[Callable] = []
    results = {name: dict(times=[]) for name in args.models}
    for name in args.models:
        torch.manual_seed(0)
        model = build(name).to(args.device, DTYPES[args.dtype])
        model.train(train)
        results[name]['params'] = sum(p.numel() for p in model.parameters())
        if args.compile:
            model = torch.compile(model)
        steps.append(make_step(model, x, train))
        for _ in range(3):
            steps[-1]()
        results[name]['memory'] = peak_memory(steps[-1], args.device)
    for _ in range(args.rounds):
        for name, step in zip(args.models, steps):
            results[name]['times'].append(time_call(step, args.device))
    return results


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_heap()
    results = run(args)
    how = 'compiled' if args.compile else 'eager'
    print(
        f'{args.mode}, {args.dtype}, {how}, {args.device} '
        f'({torch.get_num_threads()} threads), batch {args.batch_size}, '
        f'{args.img_size} px, median of {args.rounds} interleaved rounds\n\n'
        '| model | params (M) | images/s | ratio | peak memory (MiB) |\n'
        '|---|---|---|---|---|'
    )
    reference = results[args.models[0]]['times']
    for name, result in results.items():
        times = result['times']
        ratio = median(ref / own for ref, own in zip(reference, times))
        print(
            f'| {name} | {result["params"] / 1e6:.2f} '
            f'| {args.batch_size / median(times):.2f} | {ratio:.2f} '
            f'| {result["memory"]:.1f} |'
        )


if __name__ == '__main__':
    main()
