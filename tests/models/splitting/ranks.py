"""Real ranks over loopback, a process each, that check what they are told and say what they found as JSON.

Run as `python -m tests.models.splitting.ranks`, with the plan as JSON on stdin: what is imported once is there in all
ranks, because they are forked before anything is computed.
"""

import contextlib
import faulthandler
import gc
import json
import os
import socket
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.making import check_kv_bits
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.ragged import RaggedPart, ragged_passes
from mlx_spec.decoding.cache.passes.ragged_trial import ragged_way
from mlx_spec.decoding.cache.together import Part, score_together
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.loading import load_shard
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.timing import measure_links
from mlx_spec.models.splitting.wire import wire_of
from mlx_spec.models.taps import LAST
from mlx_spec.models.weights import load_weights

# The newest token, two children of it, and a child of each.
_DEPTHS = [0, 1, 1, 2, 2]
_SEEN = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
_PATIENCE_S = 150
# What one machine says, by folder and passes.
_WHOLE: dict[tuple[str, str], dict[str, mx.array]] = {}
_PROMPT = [11, 3, 7, 7, 90, 4, 15, 2, 61, 5, 8, 8, 30]


def main() -> None:
    """For each number of ranks fork so many, have each go through all cases, and write what all found."""
    plan = json.load(sys.stdin)
    # One session behind the other: ranks that wait for each other take turns on few cores.
    found = [one for ranks, cases in plan.items() for one in _ended(_session(int(ranks), cases))]
    json.dump([json.loads(one) for one in found], sys.stdout)


def _session(ranks: int, cases: list[dict[str, Any]]) -> tuple[list[int], list[int]]:
    hosts = Path(tempfile.mkdtemp()) / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in _free_ports(ranks)]))
    pids, pipes = [], []
    for rank in range(ranks):
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            faulthandler.dump_traceback_later(_PATIENCE_S, exit=True)  # a collective that hangs cannot be interrupted
            os.environ.update({"MLX_RANK": str(rank), "MLX_HOSTFILE": str(hosts)})
            with os.fdopen(writes, "w") as told:
                json.dump(_as_rank(rank, cases), told)
            os._exit(0)
        os.close(writes)
        pids.append(pid)
        pipes.append(reads)
    return pids, pipes


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _ended(session: tuple[list[int], list[int]]) -> list[str]:
    pids, pipes = session
    found = [os.fdopen(pipe).read() for pipe in pipes]
    for pid in pids:
        os.waitpid(pid, 0)
    return found


def _as_rank(rank: int, cases: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        group = mx.distributed.init(strict=True, backend="ring")
        found = [_case(group, case) for case in cases]
        wire = asdict(measure_links(Links(group))) if group.size() == 2 else None
        return {"rank": rank, "ranks": group.size(), "found": found, "wire": wire, "cpu_s": sum(os.times()[:2])}
    except BaseException:  # noqa: BLE001 - whatever it is, the test is to show it
        return {"rank": rank, "failed": traceback.format_exc()}


def _case(group: mx.distributed.Group, case: dict[str, Any]) -> dict[str, Any]:
    folder, layers = ModelFolder.at(Path(case["folder"])), case.get("layers")
    split = Split(case["way"], group.size(), case["exactness"], tuple(layers) if layers else None)
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()
    before, told = mx.get_active_memory(), []
    model = load_shard(folder, split, group, told.append)
    found: dict[str, Any] = {
        "case": case,
        "active": mx.get_active_memory() - before,
        "peak": mx.get_peak_memory() - before,
        "told": sum(told),
        "nbytes": sum(array.nbytes for _, array in tree_flatten(model.parameters())),
    }
    if case.get("passes") is None:
        return found
    tries = case["passes"] == "all"
    listens = (0, len(model.layers) // 2, len(model.layers) - 1, LAST) if case["passes"] != "few" else ()
    scored = go_through(model, listens, tries=tries)
    wire = wire_of(model, listens)
    found["wire"] = [wire.collectives, wire.bytes_per_row]
    found["compiled"] = scored.pop("compiled").item()
    if group.rank() == 0:
        known = str(folder.path), case["passes"]
        if known not in _WHOLE:  # while the others wait
            _WHOLE[known] = go_through(load_weights(folder), listens, tries=tries)
        whole = _WHOLE[known]
        found["names"] = sorted(scored)
        found["differ"] = {
            name: float(mx.abs(scored[name] - whole[name]).max())
            for name in scored
            if not mx.array_equal(scored[name], whole[name])
        }
        found["rows_differ"] = float(mx.abs(scored["alone"][0] - scored["rows"][0]).max())
    return found


def go_through(model: Any, listens: tuple[int, ...], *, tries: bool) -> dict[str, mx.array]:
    """What answers go through with a model, as the engine does it: a prompt, single steps, rows, three answers in one
    pass. On all ranks alike. Where it `tries` what passes the model takes, a tree too."""
    kept: dict[str, mx.array] = {}

    def keep(name: str, cached: CachedModel, logits: mx.array) -> None:
        mx.eval(logits, cached.features if listens else logits)
        kept[name] = logits
        if listens:
            kept[f"{name} heard"] = cached.features

    one = CachedModel(model, "it", speculative=True, listen_to=listens)
    prompt = one.prefill(_PROMPT, scored=True)
    keep("prompt", one, prompt)
    keep("alone", one, one.score(mx.array([7])))
    one.forget(1)
    keep("rows", one, one.score(mx.array([7, 1, 2, 3, 4]), kept=1))
    one.forget(2)
    if tries:
        with contextlib.suppress(UnsupportedModelError):  # by a pass that is dropped
            check_kv_bits(model, "it", 8)
    if tries and one.takes_trees():
        placement = Placement(mx.array(_DEPTHS), mx.array(_DEPTHS), mx.array(_SEEN) > 0)
        keep("tree", one, one.score(mx.array([4, 9, 8, 7, 6]), kept=1, placement=placement))
        one.choose([0, 2])
        keep("after", one, one.score(mx.array([4])))
    kept["compiled"] = mx.array(one.is_compiled(1) is True)
    three = [CachedModel(model, "it", speculative=True, listen_to=listens) for _ in range(3)]
    for number, cached in enumerate(three):
        cached.prefill(_PROMPT[: 3 + 4 * number])
    given = [mx.array(ids) for ids in ([3, 4, 5], [3], [9, 8])]
    if tries:
        assert ragged_way(model) is not None
        logits = score_together([Part(cached, ids) for cached, ids in zip(three, given, strict=True)])
    else:
        parts = [RaggedPart(ids, cached.caches) for cached, ids in zip(three, given, strict=True)]
        logits = [output.logits for output in ragged_passes(model).run(parts, "attention")]
    for number, (cached, rows) in enumerate(zip(three, logits, strict=True)):
        keep(f"together {number}", cached, rows)
    return kept


if __name__ == "__main__":
    main()
