"""An encoder of texts."""

from typing import Any, Dict, Optional, Union

import torch
from mmengine.model import BaseModule

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from .tokenizers import language_config, local_or_hub


@MODELS.register_module()
class TextEncoder(BaseModule):
    """An encoder of the library transformers, such as BERT's or T5's.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer; a
            model around the encoder sets it.
        config (str | dict, optional): See ``language_config``. Defaults to
            that of ``pretrained``.
        pretrained (str, optional): Local folder or name on the hub, whose
            weights are loaded when training starts. Defaults to None, random
            weights.
        init_cfg (dict, optional): Initialisation after that. Defaults to None.

    Raises:
        ValueError: If there is neither a config nor a pretrained model, or the
            vocabulary is smaller than the tokenizer's.
    """

    def __init__(
        self,
        tokenizer: Any,
        config: Union[str, Dict[str, Any], None] = None,
        pretrained: Optional[str] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.tokenizer = tokenizer
        config = config or pretrained
        if config is None:
            raise ValueError('A text encoder needs config or pretrained.')
        self.pretrained = pretrained
        auto = require('transformers').AutoModelForTextEncoding
        self.encoder = auto.from_config(language_config(config, tokenizer))
        # Parameters that do not take part would stop distributed training.
        self.encoder.pooler = None

    @property
    def embed_dims(self) -> int:
        """int: Channels D of the tokens."""
        return self.encoder.config.hidden_size

    @property
    def max_length(self) -> Optional[int]:
        """int, optional: The most tokens that have positions."""
        return getattr(self.encoder.config, 'max_position_embeddings', None)

    def init_weights(self) -> None:
        """Load the pretrained weights.

        Raises:
            FileNotFoundError: If they are not there.
            ValueError: If they belong to another tokenizer.
        """
        if self.pretrained is not None and not self.is_init:
            self._check_words()
            loaded = type(self.encoder).from_pretrained(
                local_or_hub(self.pretrained), config=self.encoder.config
            )
            loaded.pooler = None
            self.encoder.load_state_dict(loaded.state_dict())
        super().init_weights()

    def _check_words(self) -> None:
        """Whether the tokenizer beside the weights, if any, knows the words by
        the same numbers."""
        auto = require('transformers').AutoTokenizer
        try:
            own = auto.from_pretrained(local_or_hub(self.pretrained))
        except (OSError, TypeError, ValueError):
            return  # The folder holds weights alone.
        words = self.tokenizer.get_vocab()
        other = [
            word for word, index in own.get_vocab().items() if words.get(word) != index
        ]
        if other:
            raise ValueError(
                f'The tokenizer {self.tokenizer.name_or_path!r} does not fit '
                f'the weights of {self.pretrained!r}: {len(other)} words, '
                f'{other[0]!r} the first, have other numbers. Set '
                f'tokenizer={self.pretrained!r}.'
            )

    def forward(
        self, input_ids: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Encode tokens (B, L), of which ``mask`` (B, L) tells the real ones;
        (B, L, D)."""
        return self.encoder(
            input_ids, attention_mask=None if mask is None else mask.long()
        )[0]
