"""Which layers of the usual families stay whole, and which outputs of theirs
are features. Names are those of the hosts, of timm and of transformers."""
from typing import Iterable, List, Sequence, Tuple, Union

# PELA's released code leaves these out; in Swin, the last for ImageNet alone.
_HEAD = r'(^|\.)head(\.|$)'
_SWIN = (_HEAD, 'patch_embed', 'downsample')
EXCLUDE = dict(
    vit=(_HEAD, 'patch_embed'),
    swin=_SWIN,
    swin_without_proj=(*_SWIN, r'attn\.(w_msa\.)?proj$'),
    # The inner transformers are 12 to 40 channels wide: nothing to save.
    tnt=(_HEAD, 'word_embed', 'sentence_embed', 'to_sentence', r'\.inner\.'),
    bert=(r'(^|\.)cls\.', '_proj', 'pooler', 'classifier'))

# The output of every block; of a classifier also the pooled feature.
FEATURES = dict(
    vit=(r'(\w+\.)?(layers|blocks)\.\d+', ),
    tnt=(r'(\w+\.)?layers\.\d+\.outer', ),
    swin=(r'(\w+\.)?stages\.\d+\.blocks\.\d+', ),
    bert=(r'(\w+\.)*encoder\.layer\.\d+', ),
    pooled=('neck', ))


def resolve(patterns: Union[str, Iterable[str]], presets: dict,
            what: str) -> Tuple[str, ...]:
    """The patterns of a preset by its name, or patterns as they are.

    Raises:
        ValueError: If a string is the name of no preset.
    """
    if not isinstance(patterns, str):
        return tuple(patterns)
    if patterns not in presets:
        raise ValueError(f'{what}={patterns!r} is the name of no preset. There '
                         f'are {sorted(presets)}; patterns of your own are '
                         f'given as a list, {what}=[{patterns!r}].')
    return presets[patterns]


def from_words(words: Sequence[str], presets: dict) -> Union[str, List[str]]:
    """What a command line means: the name of a preset alone, or patterns."""
    if len(words) == 1 and words[0] in presets:
        return words[0]
    return list(words)
