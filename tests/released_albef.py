"""Small weights with the names of ALBEF's released files, and models for them."""

import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample

from mmvlfusion.models.multimodal.tokenizers import train_tokenizer

D, HEADS, WIDTH, FEATURES, BLOCKS = 24, 2, 40, 8, 3
SIDE, PATCH, LENGTH, QUEUE = 32, 8, 20, 6
TEXTS = ['is it red ?', 'what is left of the blue circle ?']
ANSWERS = ['red', 'yes', 'no', 'blue circle', '2']
LABELS = ['contradiction', 'neutral', 'entailment']


def make_tokenizer(folder):
    """Train a tokenizer; returns its folder and number of words."""
    texts = [*TEXTS, *ANSWERS, 'how many green squares are there']
    tokenizer = train_tokenizer(texts, 200, 1, unused=8)
    tokenizer.save_pretrained(folder)
    return str(folder), len(tokenizer)


def linear(name, inputs, outputs):
    """Return the shapes of a linear layer."""
    return {f'{name}.weight': (outputs, inputs), f'{name}.bias': (outputs,)}


def norm(name):
    """Return the shapes of a norm layer."""
    return {f'{name}.weight': (D,), f'{name}.bias': (D,)}


def vit_shapes():
    """Return the shapes of the image encoder by name."""
    shapes = {
        'cls_token': (1, 1, D),
        'pos_embed': (1, 1 + (SIDE // PATCH) ** 2, D),
        'patch_embed.proj.weight': (D, 3, PATCH, PATCH),
        'patch_embed.proj.bias': (D,),
        **norm('norm'),
    }
    for number in range(BLOCKS):
        block = f'blocks.{number}'
        shapes |= {
            **norm(f'{block}.norm1'),
            **linear(f'{block}.attn.qkv', D, 3 * D),
            **linear(f'{block}.attn.proj', D, D),
            **norm(f'{block}.norm2'),
            **linear(f'{block}.mlp.fc1', D, 2 * D),
            **linear(f'{block}.mlp.fc2', 2 * D, D),
        }
    return shapes


def bert_shapes(words, layers, first_fusion):
    """Return the shapes of a BERT with cross-attention by name."""
    shapes = {
        'embeddings.word_embeddings.weight': (words, D),
        'embeddings.position_embeddings.weight': (LENGTH, D),
        'embeddings.token_type_embeddings.weight': (2, D),
        **norm('embeddings.LayerNorm'),
    }
    for number in range(layers):
        layer = f'encoder.layer.{number}'
        kinds = ['attention'] + ['crossattention'] * (number >= first_fusion)
        for kind in kinds:
            for part in ('query', 'key', 'value'):
                shapes |= linear(f'{layer}.{kind}.self.{part}', D, D)
            shapes |= linear(f'{layer}.{kind}.output.dense', D, D)
            shapes |= norm(f'{layer}.{kind}.output.LayerNorm')
        shapes |= linear(f'{layer}.intermediate.dense', D, WIDTH)
        shapes |= linear(f'{layer}.output.dense', WIDTH, D)
        shapes |= norm(f'{layer}.output.LayerNorm')
    return shapes


def words_shapes(words):
    """Return the shapes of the head of a language model by name."""
    return {
        'bias': (words,),
        **linear('transform.dense', D, D),
        **norm('transform.LayerNorm'),
        'decoder.weight': (words, D),
        'decoder.bias': (words,),
    }


def prefixed(prefix, shapes):
    """Add a prefix to all names."""
    return {prefix + name: shape for name, shape in shapes.items()}


def shapes_of(kind, words):
    """Return the shapes of a released file by name.

    Args:
        kind (str): ``'pretraining'``, ``'vqa'``, ``'entailment'`` or ``'nlvr'``.
        words (int): Size of the vocabulary.
    """
    text = bert_shapes(words, 18 if kind == 'nlvr' else 12, 6)
    shapes = prefixed('visual_encoder.', vit_shapes())
    if kind == 'pretraining':
        shapes |= prefixed('text_encoder.bert.', text)
        shapes |= prefixed('text_encoder.cls.predictions.', words_shapes(words))
        shapes |= linear('vision_proj', D, FEATURES) | linear('text_proj', D, FEATURES)
    else:
        shapes |= prefixed('text_encoder.', text)
    if kind == 'vqa':
        shapes |= prefixed('text_decoder.bert.', bert_shapes(words, 6, 0))
        shapes |= prefixed('text_decoder.cls.predictions.', words_shapes(words))
    if kind in ('entailment', 'nlvr'):
        shapes |= linear('cls_head.0', D, D)
        shapes |= linear('cls_head.2', D, 3 if kind == 'entailment' else 2)
    ema = {}
    for name, shape in shapes.items():
        first, _, rest = name.partition('.')
        ema[f'{first}_m.{rest}'] = shape
    shapes |= ema
    if kind == 'pretraining':
        shapes |= linear('itm_head', D, 2)
        shapes |= {
            'temp': (),
            'image_queue': (FEATURES, QUEUE),
            'text_queue': (FEATURES, QUEUE),
            'queue_ptr': (1,),
        }
    return shapes


def noise(shape, seed):
    """Make values between -1 and 1 that do not depend on a random generator."""
    places = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    values = 43758.5453 * (12.9898 * places + 78.233 * seed).sin()
    return values.frac().reshape(shape)


def make_weights(kind, words):
    """Make the weights of a released file without a random generator.

    The word embeddings of a language model are also those of its output, and the
    keys and values of a pair of layers of NLVR2 are equal, as in the released
    files.
    """
    weights = {}
    for index, (name, shape) in enumerate(sorted(shapes_of(kind, words).items())):
        weights[name] = 0.35 * noise(shape, index)
        if 'norm' in name.lower() and name.endswith('weight'):
            weights[name] += 1
    if kind == 'pretraining':
        weights['temp'] = torch.tensor(0.07, dtype=torch.float64)
        weights['queue_ptr'] = torch.zeros(1, dtype=torch.long)
        for name in ('image_queue', 'text_queue'):
            weights[name] = torch.nn.functional.normalize(weights[name], dim=0)
    for name in weights:
        if name.endswith('cls.predictions.decoder.weight'):
            part = name.removesuffix('cls.predictions.decoder.weight')
            source = f'{part}bert.embeddings.word_embeddings.weight'
            weights[name] = weights[source]
        if name.endswith('cls.predictions.decoder.bias'):
            weights[name] = weights[name.replace('decoder.bias', 'bias')]
        if kind == 'nlvr' and '.crossattention.self.' in name and 'query' not in name:
            part, layer, rest = name.partition('layer.')
            number, _, rest = rest.partition('.')
            weights[name] = weights[f'{part}{layer}{int(number) // 2 * 2}.{rest}']
    return weights


def objectives(*names):
    """Return the configs of objectives by name."""
    kinds = dict(
        contrastive=dict(
            type='mmvlfusion.ContrastiveObjective', pool='first', feature_dims=FEATURES
        ),
        matching=dict(type='mmvlfusion.MatchingObjective'),
        masked_language=dict(
            type='mmvlfusion.MaskedLanguageObjective', share_embeddings=True
        ),
    )
    return {name: kinds[name] for name in names or kinds}


def bert_config():
    """Return the config of a BERT of six layers."""
    return dict(
        model_type='bert',
        hidden_size=D,
        num_hidden_layers=6,
        num_attention_heads=HEADS,
        intermediate_size=WIDTH,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def build_albef(kind, tokenizer, num_images=1, low_rank=None, **kwargs):
    """Build a model that reads a small released file, in double precision.

    ``low_rank`` are patterns of the layers that stay dense in a low-rank model.
    """
    init_default_scope('mmpretrain')
    model_type = dict(type=f'mmvlfusion.{kind}')
    if low_rank is not None:
        model_type = dict(
            type='mmvlfusion.LowRank', module=f'mmvlfusion.{kind}', exclude=low_rank
        )
    model = MODELS.build(
        dict(
            **model_type,
            tokenizer=tokenizer,
            image_norm=False,
            text_end_token=False,
            max_text_length=LENGTH,
            backbone=dict(
                type='VisionTransformer',
                img_size=SIDE,
                patch_size=PATCH,
                arch=dict(
                    embed_dims=D,
                    num_layers=BLOCKS,
                    num_heads=HEADS,
                    feedforward_channels=2 * D,
                ),
                out_type='raw',
            ),
            text_encoder=dict(type='mmvlfusion.TextEncoder', config=bert_config()),
            fusion=dict(
                type='mmvlfusion.AlbefFusion',
                embed_dims=D,
                image_channels=D,
                num_heads=HEADS,
                ffn_ratio=WIDTH / D,
                num_images=num_images,
            ),
            momentum=0.9,
            **kwargs,
        )
    )
    return model.double().eval()


def make_images(*shape):
    """Make images without a random generator."""
    return 2 * noise((*shape, 3, SIDE, SIDE), 0.5)


def make_samples(**fields):
    """Make one sample for each text, with the other fields."""
    samples = []
    for number in range(len(TEXTS)):
        sample = DataSample()
        for name, values in dict(
            text=TEXTS, question=TEXTS, img_path=['0', '1'], **fields
        ).items():
            sample.set_field(values[number], name)
        samples.append(sample)
    return samples


def vqa_head():
    """Return the config of the decoder."""
    return dict(
        type='mmvlfusion.TextGenerationHead',
        decoder=bert_config(),
        alpha=0.4,
        answers=ANSWERS,
        num_candidates=3,
        count_first_token_twice=True,
    )


def class_head(answers):
    """Return the config of a head on the class token."""
    return dict(
        type='mmvlfusion.ClassTokenHead', in_channels=D, alpha=0.4, answers=answers
    )
