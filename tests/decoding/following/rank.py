"""Ranks of a group as processes: `python -m tests.decoding.following.rank RANKS CASE…`, with MLX_HOSTFILE and RANK_PORT
in the environment. A case is `model/way/exactness/preemption`. They are forked before anything is computed: what is
imported once is there in all.

Rank 0 answers a crowd with its share of a tiny target, and prints a line of JSON for each case: whether each answer has
the words that one machine gives it. The others follow.
"""

import faulthandler
import json
import os
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_spec import SpeculativeConfig
from mlx_spec.batching import BatchSettings
from mlx_spec.config import DrafterName
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.drafters import eagle
from mlx_spec.decoding.following import follow, lead
from mlx_spec.events import Preempted, PrefillProgress, RoundFinished
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.splitting.dividing import divide
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.split import Split
from tests.batching.asked import BLOCK, Asked, batch_of, run, some
from tests.decoding.drafters.published import HIDDEN, LAYERS
from tests.decoding.drafters.test_decoding import heads_for
from tests.tiny import pair_of, tiny_llama
from tests.unfused import fusing
from tests.zoo import VOCAB, mixed, zoo_model

BLOCKS = 9
LATE = 60
PATIENCE_S = 150
CONFIG = SpeculativeConfig(tree_speculation=True, acceptance_threshold=0.0)
HEADS: tuple[DrafterName, ...] = ("eagle", "medusa", "dflash", "auto")


def target_of(name: str) -> nn.Module:
    """`headed` is one that heads draft for; `wide` one whose keys can be kept in fewer bits; else one of the zoo's."""
    if name == "headed":
        return tiny_llama(0, layers=LAYERS, hidden=HIDDEN, scale=0.5)
    return zoo_model("llama", wide=True) if name == "wide" else zoo_model(name)


def share_of(name: str, way: Any, exactness: Any, group: mx.distributed.Group) -> nn.Module:
    """This rank's part, of a target that was whole first, as it is tiny."""
    target, ranks = target_of(name), group.size()
    count = len(target.layers)
    layers = tuple(count // ranks + (rank < count % ranks) for rank in range(ranks)) if way == "pipeline" else None
    divide(target, Split(way, ranks, exactness, layers), Links(group), name)
    return target


def crowd(name: str) -> list[Asked]:
    """Some that begin alike, one that ends early, and one whose prompt was answered before."""
    vocab = 200 if name == "headed" else VOCAB
    asked = some(4, vocab=vocab, longest=44, tokens=(20, 30), spread=4, seed=3)
    if name == "headed":
        asked = [replace(one, drafter=HEADS[number % 4]) for number, one in enumerate(asked)]
    longest = max(asked, key=lambda one: len(one.prompt))
    return [*asked, replace(longest, params=replace(longest.params, seed=77), joins=LATE)]


def pair_for(name: str, target: nn.Module, folder: Path) -> ModelPair:
    """The target with what drafts for it, all of it here."""
    if name == "headed":
        return replace(pair_of(target, None), heads=heads_for(target, folder))
    draft = mixed(target_of(name), zoo_model("llama" if name == "wide" else name, seed=9, wide=name == "wide"), 0.97)
    return pair_of(target, draft, vocab=VOCAB)


def answered(name: str, target: nn.Module, preemption: Any, folder: Path) -> dict[str, Any]:
    """What came of a crowd."""
    config = replace(CONFIG, kv_bits=8) if name == "wide" else CONFIG
    if name == "headed":
        config = SpeculativeConfig(lookahead=3, adaptive_lookahead=False, acceptance_threshold=0.0)
    settings = BatchSettings(max_batch=4, spare_blocks=0, preemption=preemption)
    asked = crowd(name)
    done = run(batch_of(pair_for(name, target, folder), BLOCKS, settings, config=config), asked)
    plain = pair_of(target_of(name), None, vocab=VOCAB if name != "headed" else 259)
    rounds = [event for told in done.told.values() for event in told if isinstance(event, RoundFinished)]
    found = [event.cached_tokens for event in done.told[str(len(asked) - 1)] if isinstance(event, PrefillProgress)]
    return {
        "same": [done.ids(str(n)) == one.alone(plain, config).token_ids for n, one in enumerate(asked)],
        "preempted": done.count(Preempted),
        "found": max(found),
        "accepted": sum(event.accepted_count for event in rounds),
        "drafters": sorted({event.drafter for event in rounds if event.drafter}),
    }


def answer_all(cases: list[list[str]], group: mx.distributed.Group, port: int) -> None:
    """Be rank 0."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        others = [listener.accept()[0] for _ in range(group.size() - 1)]
    for name, way, exactness, preemption in cases:
        target = share_of(name, way, exactness, group)
        messages = 0

        def tell(message: dict[str, Any] | None) -> None:
            nonlocal messages
            messages += 1
            data = json.dumps(message).encode()
            for other in others:
                other.sendall(struct.pack("!I", len(data)) + data)

        lead(target, tell)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            came = answered(name, target, preemption, Path(folder))
        came |= {"case": [name, way, exactness, preemption], "messages": messages}
        sys.stdout.write(json.dumps(came | {"seconds": round(time.perf_counter() - began, 1)}) + "\n")
        sys.stdout.flush()
        tell(None)  # this target is done with


def follow_all(cases: list[list[str]], group: mx.distributed.Group, port: int) -> None:
    """Be one of the others."""
    stream = _connected(port).makefile("rb")

    def hear() -> dict[str, Any] | None:
        length = stream.read(4)
        message: dict[str, Any] | None = json.loads(stream.read(struct.unpack("!I", length)[0])) if length else None
        return message

    for name, way, exactness, _ in cases:
        follow(share_of(name, way, exactness, group), name, hear)


def _connected(port: int) -> socket.socket:
    for _ in range(600):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.05)
    raise ConnectionError(f"nobody leads at port {port}")


def main() -> None:
    """Be rank 0, with the others as children; fail where one of them does."""
    ranks, *cases = sys.argv[1:]
    children = []
    for rank in range(1, int(ranks)):
        pid = os.fork()
        if pid == 0:
            be(rank, cases)
            os._exit(0)
        children.append(pid)
    be(0, cases)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in children))


def be(rank: int, cases: list[str]) -> None:
    """Be one of the ranks."""
    os.environ["MLX_RANK"] = str(rank)
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)  # a collective that hangs cannot be interrupted
    PREFILL_TOKENS[mx.default_device().type] = eagle.BLOCK_TOKENS = BLOCK
    group = mx.distributed.init(strict=True, backend="ring")
    part: Callable[..., None] = follow_all if group.rank() else answer_all
    with fusing(False):
        part([case.split("/") for case in cases], group, int(os.environ["RANK_PORT"]))


if __name__ == "__main__":
    main()
