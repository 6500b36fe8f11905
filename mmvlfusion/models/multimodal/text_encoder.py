"""Text encoders of the library transformers."""

from typing import Any, Dict, Optional, Union

import torch
from mmengine.model import BaseModule

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from .tokenizers import language_config, local_or_hub


@MODELS.register_module()
class TextEncoder(BaseModule):
    """A text encoder of the library transformers, such as BERT or T5's encoder.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer. The
            enclosing model sets it.
        config (str | dict, optional): See ``language_config``. Defaults to
            None, the config of ``pretrained``.
        pretrained (str, optional): Local folder or name on the hub. Its weights
            are loaded by ``init_weights``, when training starts. Defaults to
            None, random weights.
        init_cfg (dict, optional): Initialisation after that. Defaults to None.

    Raises:
        ValueError: If neither ``config`` nor ``pretrained`` is given, or if the
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
            raise ValueError('A text encoder needs config or pretrained: set one.')
        self.pretrained = pretrained
        auto = require('transformers').AutoModelForTextEncoding
        self.encoder = auto.from_config(language_config(config, tokenizer))
        # The pooler is not used. Distributed training fails on parameters
        # without a gradient.
        self.encoder.pooler = None

    @property
    def embed_dims(self) -> int:
        """int: Channels D of the tokens."""
        return self.encoder.config.hidden_size

    @property
    def max_length(self) -> Optional[int]:
        """int, optional: Maximum number of tokens, None if unlimited."""
        return getattr(self.encoder.config, 'max_position_embeddings', None)

    def init_weights(self) -> None:
        """Load the pretrained weights.

        Raises:
            FileNotFoundError: If the local folder does not exist.
            ValueError: If the weights belong to another tokenizer.
        """
        if self.pretrained is not None and not self.is_init:
            self._check_vocabulary()
            loaded = type(self.encoder).from_pretrained(
                local_or_hub(self.pretrained), config=self.encoder.config
            )
            loaded.pooler = None
            self.encoder.load_state_dict(loaded.state_dict())
        super().init_weights()

    def _check_vocabulary(self) -> None:
        """Compare the tokenizer with that of the pretrained weights, if any."""
        auto = require('transformers').AutoTokenizer
        try:
            pretrained = auto.from_pretrained(local_or_hub(str(self.pretrained)))
        except (OSError, TypeError, ValueError):
            return  # The folder has weights but no tokenizer.
        vocabulary = self.tokenizer.get_vocab()
        different = [
            word
            for word, index in pretrained.get_vocab().items()
            if vocabulary.get(word) != index
        ]
        if different:
            raise ValueError(
                f'The tokenizer {self.tokenizer.name_or_path!r} does not fit '
                f'the weights of {self.pretrained!r}: {len(different)} tokens, '
                f'e.g. {different[0]!r}, have other ids. Set '
                f'tokenizer={self.pretrained!r}.'
            )

    def forward(
        self, input_ids: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Encode texts.

        Args:
            input_ids (torch.Tensor): Token ids, (B, L).
            mask (torch.Tensor, optional): True at valid tokens, (B, L).
                Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, L, D).
        """
        attention_mask = None if mask is None else mask.long()
        return self.encoder(input_ids, attention_mask=attention_mask)[0]
