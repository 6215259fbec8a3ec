"""What peers' schedulers do with requests, budget and blocks, as far as ours should do the same: facts, rewritten.

The scenarios stand in `peer_steps.txt`. `# source · name` begins one, `with` says what is not as usual, `but` why a
step of ours is not the peer's. `+a 80/16` is a request with a prompt of 80 tokens for up to 16 written ones, `-a`
cancels it. A line that begins with `=` is a step, and says all that it does, as in
`= refused a too_large; aside b swap; back c; on d; read d 0-64; write a c`.

A peer's prompt of n tokens is ours of n + 1 where its test is about how much is read: ours leaves the last token to the
first round, which is why a prompt writes its first token a step later. `budget` are the tokens that a step can read:
ours keeps a row for each answer beside them.

Sources, read for their numbers: of vLLM tests/v1/core/test_scheduler.py at 003df29 (`v1`), beside it
test_concurrent_partial_prefills.py at 5108759 (`v1 partial`), tests/core/test_scheduler.py at 02169f9 (`0.4`) and as
it was in 0.6, read in a fork (`0.6`), tests/core/test_chunked_prefill_scheduler.py at 079d54c (`0.6 chunked`); of
mlx-lm 0.32.0 tests/test_generate.py at d78bf58 (`mlx-lm`).
"""

from dataclasses import dataclass, field
from pathlib import Path

from mlx_spec.batching.settings import BatchSettings
from tests.batching.table import TableEngine

USUAL = {"blocks": 1_000, "budget": 1_000, "chunk": 1, "max_batch": 16, "block_tokens": 16}


@dataclass
class Scenario:
    """`lines` are requests, cancellings and steps, in order."""

    name: str
    options: dict[str, object] = field(default_factory=lambda: {**USUAL})
    lines: list[str] = field(default_factory=list)

    def engine(self) -> TableEngine:
        """An engine for it, on which nothing has happened."""
        options = dict(self.options)
        blocks, budget, chunk = (int(str(options.pop(name))) for name in ("blocks", "budget", "chunk"))
        usual = {"draft_tokens": 0, "spare_blocks": 0, "chunk_tokens": chunk}
        return TableEngine(
            BatchSettings(step_tokens=budget + int(str(options["max_batch"])), **{**usual, **options}), blocks
        )


def read_scenarios() -> list[Scenario]:
    """All scenarios of the file."""
    scenarios: list[Scenario] = []
    for line in Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines():
        what, _, rest = line.partition(" ")
        if what == "#":
            scenarios.append(Scenario(rest))
        elif what == "with":
            for setting in rest.split():
                name, _, value = setting.partition("=")
                scenarios[-1].options[name] = int(value) if value.isdigit() else value
        elif what == "=":
            scenarios[-1].lines.append(line)
        elif line and what != "but":
            scenarios[-1].lines += line.split(", ")
    return scenarios
