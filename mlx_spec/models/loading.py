"""Loading a target, and a draft that fits it, as mlx-lm models. All MLX work is done in the calling thread."""

import filecmp
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import mlx.nn as nn
from mlx_lm.tokenizer_utils import TokenizerWrapper

from mlx_spec.errors import ModelNotFoundError, PromptError
from mlx_spec.machine.kernels.products.layers import adopt
from mlx_spec.machine.kernels.products.times import MatmulTimes
from mlx_spec.models.files.config import parts_of
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.checkpoint import read_checkpoint
from mlx_spec.models.heads.loading import DRAFTER_OF, Head, head_for
from mlx_spec.models.identity import content_identity
from mlx_spec.models.named import PairFolders, draft_folder_of, find_folders, folder_of
from mlx_spec.models.pairs import STARTER, Fit, check_pair, fit
from mlx_spec.models.progress import Progress, silent
from mlx_spec.models.room import PairRoom, room_of
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.text.chat import chat_of
from mlx_spec.models.text.manner import ChatManner, manner_of
from mlx_spec.models.text.messages import texts_of
from mlx_spec.models.text.next_turn import next_beginning, opening, plain_opening, turn
from mlx_spec.models.text.options import PLAIN, ChatOptions
from mlx_spec.models.text.token_map import TokenMap
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
    `drafters_when_loaded` is for a pair whose models were let go. `ranks`: over how many processes the target is split,
    of which this one has its share of it. `sampling` is how the target's makers say that its
    tokens are drawn. `content` is a hash of the files that it was loaded from, None where that is not known.
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
    content: str | None = None
    ranks: int = 1

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The ids that end an answer."""
        return frozenset(self.tokenizer.eos_token_ids)

    @property
    def drafters(self) -> tuple[str, ...]:
        """What a request may ask to draft, the heads first: what was loaded, and what needs nothing more."""
        if self.drafters_when_loaded:
            return self.drafters_when_loaded
        alone = ("self",) if self.ranks == 1 else ()
        return (*self.heads, *(("model",) if self.draft is not None else ()), "ngram", *alone)

    def without_models(self) -> "ModelPair":
        """The same pair with all that texts need, and none of the weights."""
        return replace(
            self, target=nn.Module(), draft=None, heads={}, token_map=None, drafters_when_loaded=self.drafters
        )

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, with the bos token in front where the model wants one."""
        check_text(text)
        return list(self.tokenizer.encode(text))

    def encode_part(self, text: str) -> list[int]:
        """Return the ids of `text` as a part of a longer one, with nothing in front. Raises PromptError."""
        check_text(text)
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, continues: bool = False, options: ChatOptions = PLAIN
    ) -> list[int]:
        """Return the ids of a conversation up to where the answer begins; each message has `role` and `content`, those
        of tools and calls of them also what `template_turns` knows.

        Where the answer `continues`, the last message is its beginning: its ids end the prompt, as if the model had
        just said them. Without a chat template the contents are encoded as plain text, with blank lines between them.
        What somebody wrote is text, also where it spells a control token. `options` are for the template.

        Raises PromptError when there is no message, one holds what is no text, or the template refuses them.
        """
        chat = chat_of(self.tokenizer)
        for message in messages:
            check_text("".join(texts_of(message)))
        check_text("".join(texts_of(options.values)))
        turns = template_turns(messages, partial(chat.render, options=options) if chat.has_template else None)
        return chat.encode(turns, continues=continues, options=options)

    def encode_next(self, messages: Sequence[Mapping[str, Any]], reply: str, options: ChatOptions = PLAIN) -> list[int]:
        """Return the ids that every next turn begins with, where `messages` were answered by `reply`, as a client sends
        it back: what the chat template writes of all that, up to the next question. `messages` are as for
        `encode_chat`. Where the template lets nothing follow, the ids of `messages` alone.

        Raises PromptError where `encode_chat` refuses the messages.
        """
        return next_beginning(partial(self.encode_chat, options=options), messages, reply)

    def encode_opening(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions = PLAIN) -> list[int]:
        """Return the ids that every chat with the system messages of `messages` begins with; none without such."""
        return opening(partial(self.encode_chat, options=options), messages)

    def encode_plain_opening(self) -> list[int]:
        """Return the ids that every chat begins with that has no system message: what the template itself says there.
        None where it says the date, with which they would change."""
        chat = chat_of(self.tokenizer)
        return plain_opening(self.encode_chat) if chat.has_template and not chat.tells_time else []

    def encode_turn(self) -> list[int]:
        """Return the ids that stand before every question but the first: what the template writes behind an answer, up
        to the next question. None where no control token is among them, as anybody may write such text."""
        chat = chat_of(self.tokenizer)
        ids = turn(self.encode_chat) if chat.has_template else []
        return ids if any(map(chat.is_control, ids)) else []

    @property
    def chat_manner(self) -> ChatManner:
        """What the model's family does in conversations."""
        return manner_of(self.tokenizer)

    def chat_note(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        """One sentence where a conversation cannot be written as it was asked for, None where it can."""
        return chat_of(self.tokenizer).note(messages)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of `token_ids`; bytes that are not UTF-8 become U+FFFD."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens))


def load_pair(
    target: str = STARTER,
    draft: str | None = None,
    *,
    anyway: bool = True,
    progress: Progress | None = None,
    kv_bits: int | None = None,
) -> ModelPair:
    """Load a target and its draft.

    `target` is the name of a pair ("starter"), a folder, a .gguf file, or a Hub id. `draft` is any of these, a
    published EAGLE, Medusa or DFlash head (a folder or a Hub id), or "none"; left out, it is the pair's own draft, and
    none for a target that is not a pair. Heads in a draft's folder are loaded with it. A draft with another vocabulary
    comes with its own tokenizer. `progress` is told `(stage, fraction)`. Unless `anyway`, what needs more memory than
    there is, is not loaded; that is reckoned with keys and values of `kv_bits` each, see `SpeculativeConfig`.

    Raises DoesNotFitError for that, ModelNotFoundError, CorruptModelError, UnsupportedModelError,
    IncompatiblePairError, ModelError for a folder that lacks a file, and StorageError where an import does not fit.
    """
    folders = find_folders(target, draft, progress)
    room = room_of(folders.target, folders.draft, folders.heads, kv_bits=kv_bits)
    if room is not None and not anyway:
        room.check(folders.target.name)
    return load_folders(folders, room, progress)


LoadTarget = Callable[[ModelFolder, Callable[[int], None]], nn.Module]
"""As `load_weights`."""


def load_folders(
    folders: PairFolders,
    room: PairRoom | None,
    progress: Progress | None = None,
    *,
    load_target: LoadTarget | None = None,
) -> ModelPair:
    """Load what `load_pair` found and checked; `room` is what it is expected to take. Of a target that is split over
    several machines `load_target` loads this one's share; draft and heads are loaded whole. Raises as `load_pair`.
    """
    tell = progress or silent
    content = _content(folders)
    told = by_bytes(folders.models, tell)
    # Before the weights: what is wrong with a tokenizer is told without waiting for them.
    tokenizer, draft_tokenizer = folders.target.tokenizer, _draft_tokenizer(folders)
    target, name = (load_target or load_weights)(folders.target, told), folders.target.name
    if (share := share_of(target)) is None:  # else it is led, and all machines compute alike
        adopt(target, MatmulTimes())
    draft = load_draft(folders.draft, told) if folders.draft is not None else None
    heads = {
        DRAFTER_OF[kind]: head_for(target, name, read_checkpoint(folder, kind))
        for folder in folders.heads
        if (kind := folder.head_kind) is not None
    }
    width, token_map = logits_width(target), None
    if draft is not None and draft_tokenizer is not None:
        token_map = TokenMap(tokenizer, draft_tokenizer, width, logits_width(draft))
    tell("loading", 1.0)
    return ModelPair(
        target=target,
        draft=draft,
        tokenizer=tokenizer,
        target_name=name,
        draft_name=folders.draft_name,
        name=folders.name,
        context_length=folders.target.context_length,
        vocab_size=width,
        draft_tokenizer=draft_tokenizer,
        token_map=token_map,
        heads=heads,
        room=room,
        sampling=folders.target.sampling,
        content=content if _content(folders) == content else None,  # else somebody replaced a file meanwhile
        ranks=1 if share is None else share.split.ranks,
    )


def fit_of(target: str, draft: str, *, progress: Progress | None = None) -> Fit:
    """Say whether two models fit as target and draft, without loading their weights; names as for `load_pair`.

    `progress` is told of what is fetched or imported first. Raises as `load_pair` does for what is missing or damaged,
    never because they do not fit.
    """
    draft_folder = draft_folder_of(target, draft, progress)
    if draft_folder is None:
        raise ModelNotFoundError(f"'{draft}' is no draft to compare with {target}: name a model.")
    sides = []
    for folder in (folder_of(target, progress), draft_folder):
        folder.check()
        sides.append(_vocabulary(folder, weights_bytes=folder.weights_bytes))
    return fit(*sides)


def _content(folders: PairFolders) -> str | None:
    """A hash of the models in the folders; None where that cannot be told."""
    try:
        return content_identity((folders.target, folders.draft, *folders.heads))
    except OSError:
        return None


def _draft_tokenizer(folders: PairFolders) -> TokenizerWrapper | None:
    """The draft's own tokenizer, None where its vocabulary is the target's. Raises IncompatiblePairError."""
    target, draft = folders.target, folders.draft
    if draft is None or _same_tokenizer(target, draft):
        return None
    same = check_pair(_vocabulary(target), _vocabulary(draft)).kind == "same"
    return None if same else draft.tokenizer


def _same_tokenizer(target: ModelFolder, draft: ModelFolder) -> bool:
    """Whether both folders hold the very same tokenizer.json and embeddings: then there is nothing to compare."""
    mine, theirs = target.path / "tokenizer.json", draft.path / "tokenizer.json"
    if not (mine.is_file() and theirs.is_file() and filecmp.cmp(mine, theirs, shallow=False)):
        return False
    return target.config.get("vocab_size") == draft.config.get("vocab_size")


def _vocabulary(folder: ModelFolder, *, weights_bytes: int | None = None) -> Vocabulary:
    """The vocabulary of a model, with as many rows as its configuration says; else as its tokenizer has tokens."""
    rows = (place.get("vocab_size") for place in parts_of(folder.config))
    told = next((count for count in rows if isinstance(count, int)), len(folder.tokenizer))
    return vocabulary_of(folder.tokenizer, folder.name, told, weights_bytes=weights_bytes)


def check_text(text: str) -> None:
    """Raise PromptError for what is not text: bytes that were not UTF-8 come from a terminal as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError("The prompt holds bytes that are not UTF-8 text: write it as text.") from error
