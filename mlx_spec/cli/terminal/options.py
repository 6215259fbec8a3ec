"""Options that several commands share, written once."""

import re
from typing import Annotated, Any, Final

import typer

from mlx_spec.batching.settings import BatchSettings, PolicyName, PreemptionName
from mlx_spec.config import (
    LOOKAHEAD_LIMIT,
    AcceptanceRule,
    DrafterName,
    ExactnessChoice,
    Keeping,
    SpeculativeConfig,
    tree_settings,
)
from mlx_spec.errors import ConfigError, PromptError

DEFAULT_PAIR: Final = "starter"
DEFAULT_MAX_TOKENS: Final = 256

# What is None where it is not given, as a prompt file may say it, tells its default by itself.

Target = Annotated[str | None, typer.Option(help="Target: a folder, a .gguf file or a Hub id.")]
DraftOption = Annotated[str | None, typer.Option(help="Draft: a folder, a Hub id, or none.")]
Pair = Annotated[str, typer.Option(help="A known pair, see `models pairs`.")]
FilePair = Annotated[
    str | None, typer.Option("--pair", help="A known pair, see `models pairs`.", show_default=DEFAULT_PAIR)
]
DrafterOption = Annotated[
    DrafterName,
    typer.Option(
        help="eagle, medusa, dflash: a head that reads the target's states; model: the draft model; grammar: what a "
        "schema forces; ngram: what stood in the text before; self: the target without half of its layers; auto: what "
        "pays; none: nothing."
    ),
]
LookaheadOption = Annotated[
    str | None, typer.Option(help="Tokens to draft a round, 1..32, or auto.", show_default="auto")
]
Rule = Annotated[
    AcceptanceRule,
    typer.Option(
        help="coupled: plain decoding's own words for the seed; token, block: its distribution, other words; "
        "typical: lossy."
    ),
]
_TREE: Final = (
    "Draft trees too, DEPTHxBRANCHING[:TOKENS] as in 3x2 or 6x8:48: weighed against chains, or, with a fixed "
    "lookahead, always."
)
TreeOption = Annotated[str, typer.Option(help=_TREE)]
ServedTree = Annotated[str | None, typer.Option(help=_TREE, show_default="off; 6x8:32 beside --hosts")]
KvBits = Annotated[
    int | None,
    typer.Option(
        "--kv-bits",
        help="Keep the target's keys and values in 8 or 4 bits each: less memory, other words. Speculation gives plain "
        "decoding's words over the same ones.",
        show_default="as the model computes them",
    ),
]
ExactnessOption = Annotated[
    ExactnessChoice,
    typer.Option(
        "--exactness",
        help="strict: plain decoding's words bit for bit, whoever else is answered, by passes no wider than was "
        "measured to keep rows apart (see doctor); fast: passes of any width, where rounding may decide a near-tie; "
        "auto: strict where it leaves room for drafts.",
    ),
]
Anyway = Annotated[bool, typer.Option("--anyway", help="Load also what needs more memory than there is.")]
PrefixMemory = Annotated[
    str | None,
    typer.Option(
        "--prefix-memory",
        metavar="MB",
        help="Memory in MB for what answers have read, so that a prompt that begins like an earlier one is read from "
        "where they part; 0 keeps nothing.",
        show_default="a quarter of what the models leave, at most 4000",
    ),
]
KvMemory = Annotated[
    str | None,
    typer.Option(
        "--kv-memory",
        metavar="MB",
        help="Memory in MB for all keys and values: of the answer under way, and of what is kept.",
        show_default="what the models leave",
    ),
]
_DISK_HELP: Final = "Disk in MB for what answers have read, so that it is found after a restart; 0 writes nothing."
PrefixDisk = Annotated[str | None, typer.Option("--prefix-disk", metavar="MB", help=_DISK_HELP, show_default="0")]
ServedPrefixDisk = Annotated[
    str | None,
    typer.Option("--prefix-disk", metavar="MB", help=_DISK_HELP, show_default="a tenth of what is free, at most 10000"),
]
MaxBatch = Annotated[int, typer.Option("--max-batch", help="Requests that are answered at the same time.")]
MaxWaiting = Annotated[
    int, typer.Option("--max-waiting", help="Requests that may wait beside them; more are told to come back later.")
]
Policy = Annotated[
    PolicyName,
    typer.Option(
        "--policy",
        help="Who comes first: fcfs, who came first; shortest, the fewest tokens left; priority and deadline, as "
        "requests say; orca, who came first and finds room for all that it may ever say. Nobody waits for ever.",
    ),
]
Preemption = Annotated[
    PreemptionName,
    typer.Option(
        "--preemption",
        help="When memory runs out an answer steps aside: what it has read is copied away, or read again.",
    ),
]
PrefillBudget = Annotated[
    float,
    typer.Option(
        "--prefill-budget-ms",
        metavar="MS",
        help="How long a step may read prompts while other answers are written; a chunk at least, and once, as they "
        "begin, twice that for several, up to eight times where more wait than write.",
    ),
]
MaxTokens = Annotated[int | None, typer.Option(help="Longest answer, in tokens.", show_default=str(DEFAULT_MAX_TOKENS))]
Values = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=TEXT, a variable of the prompt file; may be given again.")
]


def speculative_config(
    lookahead: str,
    acceptance: AcceptanceRule,
    tree: str = "off",
    kv_bits: int | None = None,
    exactness: ExactnessChoice = "auto",
) -> SpeculativeConfig:
    """The decoder's settings from `--lookahead`, `--acceptance`, `--tree`, `--kv-bits` and `--exactness`. Raises
    ConfigError."""
    settings: dict[str, Any] = {"acceptance": acceptance, "kv_bits": kv_bits, "exactness": exactness}
    settings |= tree_settings(tree)
    if lookahead == "auto":
        return SpeculativeConfig(**settings)
    if not lookahead.isdecimal() or not 1 <= int(lookahead) <= LOOKAHEAD_LIMIT:
        raise ConfigError("lookahead", lookahead, f"auto or a whole number from 1 to {LOOKAHEAD_LIMIT}")
    return SpeculativeConfig(lookahead=int(lookahead), adaptive_lookahead=False, **settings)


def keeping(prefix_memory: str | None, kv_memory: str | None, prefix_disk: str | None) -> Keeping:
    """What `--prefix-memory`, `--kv-memory` and `--prefix-disk` say. Raises ConfigError."""
    pool_bytes = _megabytes("kv_memory", kv_memory, "a whole number of MB, at least 1")
    if pool_bytes == 0:
        raise ConfigError("kv_memory", kv_memory, "a whole number of MB, at least 1")
    return Keeping(
        _megabytes("prefix_memory", prefix_memory, "a whole number of MB, 0 to keep nothing"),
        pool_bytes,
        _megabytes("prefix_disk", prefix_disk, "a whole number of MB, 0 to write nothing"),
    )


def batch_settings(
    max_batch: int, policy: PolicyName, preemption: PreemptionName, max_waiting: int, prefill_budget_ms: float
) -> BatchSettings:
    """What `--max-batch` and its neighbours say. Raises ConfigError."""
    step_tokens = BatchSettings().step_tokens
    return BatchSettings(
        max_batch=max_batch,
        policy=policy,
        preemption=preemption,
        max_waiting=max_waiting,
        prefill_budget_ms=prefill_budget_ms,
        step_tokens=max(step_tokens, max_batch + step_tokens // 2),  # a row each, and room to read
    )


def _megabytes(name: str, text: str | None, allowed: str) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text.strip()):
        raise ConfigError(name, text, allowed)
    return int(text) * 1_000_000


def given_values(texts: list[str] | None) -> dict[str, str]:
    """The variables that `--set` gave. Raises PromptError."""
    values: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise PromptError(f"--set {text!r} is not understood: write NAME=TEXT, as in --set language=French.")
        values[name.strip()] = value
    return values
