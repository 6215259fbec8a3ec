"""`mlx-spec chat`: its options."""

from typing import Annotated, Final

import typer

from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.options import (
    Anyway,
    DrafterOption,
    DraftOption,
    ExactnessOption,
    KvBits,
    KvMemory,
    LookaheadOption,
    Pair,
    PrefixDisk,
    PrefixMemory,
    Rule,
    Target,
    TreeOption,
    keeping,
    speculative_config,
)
from mlx_spec.cli.terminal.sampling import SamplingOptions, with_sampling

_MAX_TOKENS: Final = 512

# MLX and the models are imported inside: `--help` and a mistyped option answer at once.


@with_sampling
def chat(
    target: Target = None,
    draft: DraftOption = None,
    pair: Pair = "starter",
    drafter: DrafterOption = "auto",
    lookahead: LookaheadOption = None,
    acceptance: Rule = "coupled",
    tree: TreeOption = "off",
    kv_bits: KvBits = None,
    exactness: ExactnessOption = "auto",
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest answer, in tokens.", show_default=str(_MAX_TOKENS))
    ] = None,
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    prefix_memory: PrefixMemory = None,
    kv_memory: KvMemory = None,
    prefix_disk: PrefixDisk = "0",
    anyway: Anyway = False,
    *,
    sampling: SamplingOptions,
) -> None:
    """Talk in the terminal. /new starts again, /quit leaves, Ctrl-C stops an answer."""
    from mlx_spec.cli.commands.chat.talk import talk
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.decoder import SpeculativeDecoder
    from mlx_spec.decoding.cache.blocks.keeping import prefixes_of

    params = sampling.params({})
    config = speculative_config(lookahead or "auto", acceptance, tree, kv_bits, exactness)
    kept = keeping(prefix_memory, kv_memory, prefix_disk)
    with StageProgress() as progress:
        loaded = load_with_consent(target or pair, draft, progress, anyway=anyway, kv_bits=kv_bits)
        prefixes = prefixes_of(loaded, kept, kv_bits)
        decoder = SpeculativeDecoder(loaded, config, drafter=drafter, prefixes=prefixes)
        decoder.calibrate(progress.tell)
    talk(loaded, decoder, params, max_tokens if max_tokens is not None else _MAX_TOKENS, system)
