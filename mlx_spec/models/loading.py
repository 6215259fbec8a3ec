"""Loading a target, and a draft that fits it, as mlx-lm models. All MLX work is done in the calling thread."""

import filecmp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlx.nn as nn
from mlx_lm.tokenizer_utils import TokenizerWrapper

from mlx_spec.errors import ModelNotFoundError, PromptError
from mlx_spec.machine.kernels.few_rows_matmul import adopt
from mlx_spec.machine.kernels.matmul_times import MatmulTimes
from mlx_spec.models.context import context_length
from mlx_spec.models.folder import check_model_folder, read_config, weights_size
from mlx_spec.models.gguf.importing import Progress
from mlx_spec.models.heads.loading import DRAFTER_OF, Head, find_heads, load_head
from mlx_spec.models.named import draft_folder_of, folder_of
from mlx_spec.models.pairs import PAIRS, STARTER, Fit, check_pair, fit
from mlx_spec.models.room import ModelPlace, PairRoom, check_room
from mlx_spec.models.sampling_defaults import sampling_defaults
from mlx_spec.models.text.chat import chat_of
from mlx_spec.models.text.message_texts import texts_of
from mlx_spec.models.text.token_map import TokenMap
from mlx_spec.models.text.tokenizer import tokenizer_of
from mlx_spec.models.text.tool_turns import template_turns
from mlx_spec.models.text.vocabulary import Vocabulary, vocabulary_of
from mlx_spec.models.weights import by_bytes, load_draft, load_weights, logits_width


@dataclass(frozen=True, slots=True, eq=False)
class ModelPair:
    """A loaded target with its tokenizer, and the draft, if any. It belongs to the thread that loaded it.

    `context_length` counts tokens, None where nothing tells it. `vocab_size` is the width of the target's logits,
    which may be padded beyond the tokenizer's tokens. `draft_tokenizer` and `token_map`, which leads from one
    vocabulary to the other, are None where the draft's vocabulary is the target's. `heads` draft from the target's
    states, by the name of their drafter.
    `room` is what target and draft were expected to take of memory, None for a kind that could not be told.
    `drafters_when_loaded` is for a pair whose models were let go. `sampling` is how the target's makers say that its
    tokens are drawn.
    """

    target: nn.Module
    draft: nn.Module | None
    tokenizer: TokenizerWrapper
    target_name: str
    draft_name: str | None
    name: str
    context_length: int | None
    vocab_size: int
    draft_tokenizer: TokenizerWrapper | None = None
    token_map: TokenMap | None = None
    heads: dict[str, Head] = field(default_factory=dict)
    room: PairRoom | None = None
    drafters_when_loaded: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The ids that end an answer."""
        return frozenset(self.tokenizer.eos_token_ids)

    @property
    def drafters(self) -> tuple[str, ...]:
        """What a request may ask to draft, the heads first: what was loaded, and what needs nothing more."""
        if self.drafters_when_loaded:
            return self.drafters_when_loaded
        return (*self.heads, *(("model",) if self.draft is not None else ()), "ngram", "self")

    def without_models(self) -> "ModelPair":
        """The same pair with all that texts need, and none of the weights."""
        return replace(
            self, target=nn.Module(), draft=None, heads={}, token_map=None, drafters_when_loaded=self.drafters
        )

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, with the bos token in front where the model wants one."""
        _check_text(text)
        return list(self.tokenizer.encode(text))

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], *, continues: bool = False) -> list[int]:
        """Return the ids of a conversation up to where the answer begins; each message has `role` and `content`, those
        of tools and calls of them also what `template_turns` knows.

        Where the answer `continues`, the last message is its beginning: its ids end the prompt, as if the model had
        just said them. Without a chat template the contents are encoded as plain text, with blank lines between them.
        What somebody wrote is text, also where it spells a control token.

        Raises PromptError when there is no message, one holds what is no text, or the template refuses them.
        """
        chat = chat_of(self.tokenizer)
        for message in messages:
            _check_text("".join(texts_of(message)))
        turns = template_turns(messages, chat.render if chat.has_template else None)
        return chat.encode(turns, continues=continues)

    def chat_note(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        """One sentence where a conversation cannot be written as it was asked for, None where it can."""
        return chat_of(self.tokenizer).note(messages)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of `token_ids`; bytes that are not UTF-8 become U+FFFD."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens))


def load_pair(
    target: str = STARTER, draft: str | None = None, *, anyway: bool = True, progress: Progress | None = None
) -> ModelPair:
    """Load a target and its draft.

    `target` is the name of a pair ("starter"), a folder, a .gguf file, or a Hub id. `draft` is any of these, a
    published EAGLE, Medusa or DFlash head (a folder or a Hub id), or "none"; left out, it is the pair's own draft, and
    none for a target that is not a pair. Heads in a draft's folder are loaded with it. A draft with another vocabulary
    comes with its own tokenizer. `progress` is told `(stage, fraction)`. Unless `anyway`, what needs more memory than
    there is, is not loaded.

    Raises DoesNotFitError for that, ModelNotFoundError, CorruptModelError, UnsupportedModelError,
    IncompatiblePairError, ModelError for a folder that lacks a file, and StorageError where an import does not fit.
    """
    tell = progress or (lambda stage, fraction: None)
    # The draft first: where it is missing, nobody waits for the target's import before being told.
    draft_folder, draft_name = draft_folder_of(target, draft, progress)
    head_folders = find_heads(draft_folder)
    if draft_folder in head_folders:
        draft_folder = None  # it is a head, and no draft model
    target_folder, target_name = folder_of(target, progress)
    config = check_model_folder(target_folder)
    draft_config = check_model_folder(draft_folder) if draft_folder is not None else {}
    places = [ModelPlace(target_folder, config)]
    if draft_folder is not None:
        places.append(ModelPlace(draft_folder, draft_config, is_draft=True))
    room = check_room(target_name, places, head_folders, anyway=anyway)
    told = by_bytes([target_folder, *([draft_folder] if draft_folder is not None else [])], tell)
    tokenizer = tokenizer_of(target_folder, config)
    draft_tokenizer = None
    if draft_folder is not None and not _same_tokenizer(target_folder, draft_folder):
        draft_tokenizer = tokenizer_of(draft_folder, draft_config)
        draft_vocabulary = _vocabulary(draft_tokenizer, draft_name or draft_folder.name, draft_config)
        if check_pair(_vocabulary(tokenizer, target_name, config), draft_vocabulary).kind == "same":
            draft_tokenizer = None
    target_model = load_weights(target_folder, told)
    adopt(target_model, MatmulTimes())
    draft_model = load_draft(draft_folder, told) if draft_folder is not None else None
    heads = {DRAFTER_OF[kind]: load_head(at, kind, target_model, target_name) for at, kind in head_folders.items()}
    width, token_map = logits_width(target_model), None
    if draft_model is not None and draft_tokenizer is not None:
        token_map = TokenMap(tokenizer, draft_tokenizer, width, logits_width(draft_model))
    tell("loading", 1.0)
    return ModelPair(
        target=target_model,
        draft=draft_model,
        tokenizer=tokenizer,
        target_name=target_name,
        draft_name=draft_name,
        name=target if target in PAIRS and draft is None else target_name,
        context_length=context_length(config, tokenizer.model_max_length),
        vocab_size=width,
        draft_tokenizer=draft_tokenizer,
        token_map=token_map,
        heads=heads,
        room=room,
        sampling=sampling_defaults(target_folder),
    )


def fit_of(target: str, draft: str, *, progress: Progress | None = None) -> Fit:
    """Say whether two models fit as target and draft, without loading their weights; names as for `load_pair`.

    `progress` is told of what is fetched or imported first. Raises as `load_pair` does for what is missing or damaged,
    never because they do not fit.
    """
    draft_folder, draft_name = draft_folder_of(target, draft, progress)
    if draft_folder is None or draft_name is None:
        raise ModelNotFoundError(f"'{draft}' is no draft to compare with {target}: name a model.")
    sides = []
    for folder, name in (folder_of(target, progress), (draft_folder, draft_name)):
        config = check_model_folder(folder)
        size = weights_size(folder)
        sides.append(_vocabulary(tokenizer_of(folder, config), name, config, weights_bytes=size))
    return fit(*sides)


def _vocabulary(
    tokenizer: TokenizerWrapper, name: str, config: dict[str, object], *, weights_bytes: int | None = None
) -> Vocabulary:
    rows = _integer(config, "vocab_size", len(tokenizer))
    return vocabulary_of(tokenizer, name, rows, weights_bytes=weights_bytes)


def _check_text(text: str) -> None:
    """Raise PromptError for what is not text: bytes that were not UTF-8 come from a terminal as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError("The prompt holds bytes that are not UTF-8 text: write it as text.") from error


def _same_tokenizer(target: Path, draft: Path) -> bool:
    """Whether both folders hold the very same tokenizer.json and embeddings: then there is nothing to compare."""
    mine, theirs = target / "tokenizer.json", draft / "tokenizer.json"
    if not (mine.is_file() and theirs.is_file() and filecmp.cmp(mine, theirs, shallow=False)):
        return False
    return read_config(target).get("vocab_size") == read_config(draft).get("vocab_size")


def _integer(config: dict[str, object], key: str, default: int) -> int:
    """Return a whole number of the configuration, which models with several parts keep under `text_config`."""
    inner = config.get("text_config")
    for place in (config, inner if isinstance(inner, dict) else {}):
        value = place.get(key)
        if isinstance(value, int):
            return value
    return int(default)
