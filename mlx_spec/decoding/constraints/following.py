"""The matcher of one answer: its grammar, and where in the answer that begins."""

from collections.abc import Sequence

from mlx_spec.decoding.constraints.compiling import GRAMMARS
from mlx_spec.decoding.constraints.matcher import Matcher
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.text.reasoning import reasoning_ends_with


def matcher_of(
    pair: ModelPair,
    constraint: Constraint | None,
    prompt_ids: Sequence[int],
    *,
    goes_on: bool,
    banned: Sequence[int] = (),
) -> Matcher | None:
    """What follows an answer's grammar; None where it has none. Where the prompt leaves the model reasoning, the
    grammar begins behind that; an answer that `goes_on` is taken to be past it. Raises GrammarError."""
    if constraint is None:
        return None
    grammar = GRAMMARS.compiled(constraint, pair.tokenizer, pair.vocab_size)
    behind = () if goes_on else reasoning_ends_with(pair.tokenizer, prompt_ids)
    return Matcher(grammar, behind=behind, banned=banned)
