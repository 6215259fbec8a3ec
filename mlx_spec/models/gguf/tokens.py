"""The tokens of a GGUF file as llama.cpp takes them: what they are, and which of them end an answer.

The texts are those of llama.cpp's src/llama-vocab.cpp, release v0.5.0: files seldom say what ends an answer, and often
call such a token an ordinary one.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.gguf.header import GGUFHeader
from mlx_spec.models.text.vocabulary import FILLER

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# Also a mark of HTML, which many vocabularies have as an ordinary token: it is never made a control token.
_STRIKE: Final = "</s>"
_TURN_ENDS: Final = frozenset({
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<|eom_id|>",
    "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "[e~[",
    "<end_of_utterance>", "<turn|>", "<|tool_response>",
    "<\N{FULLWIDTH VERTICAL LINE}end▁of▁sentence\N{FULLWIDTH VERTICAL LINE}>",
})  # fmt: skip
# Between the files of a code model, of which one is asked for; the first that a vocabulary has counts.
_FILE_ENDS: Final = {
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}


@dataclass(frozen=True, slots=True)
class GGUFTokens:
    """The tokens of a file by id: `texts`, and what each is in `kinds` (NORMAL, CONTROL and the others)."""

    texts: list[str]
    kinds: list[int]

    def ids(self) -> dict[str, int]:
        """The id of each token; rows at the end that only fill up the matrix are left out."""
        count = len(self.texts)
        while count and FILLER.fullmatch(self.texts[count - 1]):
            count -= 1
        return {text: index for index, text in enumerate(self.texts[:count])}


def read_tokens(header: GGUFHeader) -> GGUFTokens:
    """Read a file's tokens; one whose text ends a turn is a control token, whatever the file calls it.

    Raises CorruptModelError for tokens that appear twice or lack their types.
    """
    texts, kinds = header.texts("tokenizer.ggml.tokens"), header.integers("tokenizer.ggml.token_type")
    if len(kinds) != len(texts):
        raise CorruptModelError(f"{header.path} has {len(texts)} tokens, but {len(kinds)} token types.")
    if len(set(texts)) != len(texts):
        raise CorruptModelError(f"{header.path} has a damaged tokenizer: tokens appear twice.")
    controls = _TURN_ENDS | set(_file_ends(set(texts)).values())
    return GGUFTokens(texts, [CONTROL if text in controls else kind for text, kind in zip(texts, kinds, strict=True)])


def end_token_ids(header: GGUFHeader) -> list[int]:
    """Return the ids that end an answer: the file's eos first, then the others that llama.cpp lets end one."""
    first = header.integer("tokenizer.ggml.eos_token_id")
    ids = {text: index for index, text in enumerate(header.texts("tokenizer.ggml.tokens"))}
    texts = (ids.keys() & _TURN_ENDS) | {_STRIKE} & ids.keys()
    if "<|tool_response>" in texts:
        texts -= {_STRIKE}
    if texts & {"<|call|>", "<|calls|>"} and texts & {"<|return|>", "<|flush|>"}:
        texts -= {"<|end|>"}  # There it only ends a part of an answer.
    named = {role: header.metadata.get(f"tokenizer.ggml.{role}_token_id") for role in ("eot", "eom", *_FILE_ENDS)}
    files = {role: ids[text] for role, text in _file_ends(ids).items() if named[role] is None}
    others = {ids[text] for text in texts} | set(files.values())
    others |= {index for index in named.values() if isinstance(index, int) and 0 <= index < len(ids)}
    return [first, *sorted(others - {first})]


def _file_ends(texts: Collection[str]) -> dict[str, str]:
    found = {role: next((name for name in names if name in texts), None) for role, names in _FILE_ENDS.items()}
    return {role: name for role, name in found.items() if name is not None}
