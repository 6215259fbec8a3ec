"""A process that saves, keeps, finds and forgets texts until it is killed: `python -m … FOLDER CAPACITY SEED`.

It says a line once it has begun, and ends by itself, with 1, when it finds something that is not right.
"""

import random
import sys
from pathlib import Path

from mlx_spec.decoding.cache.blocks.disk import DiskTier
from tests.decoding.cache.blocks.texts import keep, known

WHO = "pair-a"


def act(tier: DiskTier, chance: random.Random) -> None:
    """Do one of the things that answers and people do, and check what is found."""
    words = "".join(chance.choice("abc") for _ in range(chance.randrange(1, 10)))
    owner = chance.choice(["1", "2", "3", None])
    known(tier, words)
    if chance.random() < 0.9:
        keep(tier, words, owner)
    elif owner is not None:
        tier.forget_owner(owner)
    else:
        tier.forget_all()


def main() -> None:
    """Never ends, unless something is wrong."""
    folder, capacity, seed = sys.argv[1:]
    tier, chance = DiskTier(Path(folder), WHO, int(capacity)), random.Random(int(seed))
    print("busy", flush=True)  # noqa: T201 - who started it waits for that
    while tier._writes:
        act(tier, chance)
    sys.exit(1)


if __name__ == "__main__":
    main()
