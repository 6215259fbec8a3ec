"""`token` over trees: the kernel's walk is the rule's, token for token."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.acceptance import tree_rules
from mlx_spec.acceptance.tree import TokenTree, full_tree, tree_of
from mlx_spec.machine.kernels.proposal import Proposal, Verified
from mlx_spec.machine.kernels.row_softmax import row_normalisers
from mlx_spec.machine.kernels.tree_verify import serves, token_tree
from mlx_spec.machine.kernels.warp import WarpedRows
from mlx_spec.sampling.distribution import log_distribution
from tests.machine.kernels.conftest import WARPS, random_rows
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import REVERSE

TREES = [full_tree([3]), full_tree([2, 2]), tree_of((0, 0, 1, 1, 2, 3)), full_tree([3, 1, 1]), tree_of((0, 1, 2))]


class Case:
    """A tree whose siblings were drawn without replacement from one distribution a node."""

    def __init__(self, seed: int, tree: TokenTree, vocab: int, *, filtered: bool = False, point: bool = False) -> None:
        self.tree, self.seed = tree, seed
        self.rows = random_rows(seed, tree.size + 1, vocab, WARPS[2 if filtered else 1])
        generator = np.random.default_rng(seed)
        near = np.array(self.rows.logits) + 0.3 * (seed % 8) * generator.normal(size=(tree.size + 1, vocab))
        proposed = WarpedRows(mx.array(near.astype(np.float32)), self.rows.params)
        scores = np.array(proposed.scores())
        ids = np.zeros(tree.size, dtype=np.int32)
        for node, children in enumerate(tree.children):
            drawn = np.argsort(-(scores[node] + generator.gumbel(size=vocab)))
            for place, child in enumerate(children):
                ids[child - 1] = drawn[place]
        logits = proposed.logits[tree.parent_row]
        self.proposal = Proposal(mx.array(ids), None if point else WarpedRows(logits, self.rows.params))

    def by_rule(self) -> list[int]:
        q = self.proposal.rows
        verdict = tree_rules.token_tree(
            log_distribution(self.rows.scores()),
            None if q is None else log_distribution(q.scores()),
            self.proposal.token_ids,
            self.tree,
            seed=self.seed,
            position=4,
            salt=1,
        )
        return list(verdict.token_ids.tolist()[: int(verdict.accepted_count.item()) + 1])

    def run(self) -> Verified:
        return token_tree(self.rows, self.proposal, self.tree, seed=self.seed, position=4, salt=1)


def decided(verdict: Verified) -> list[int]:
    return list(verdict.token_ids.tolist()[: int(verdict.accepted_count.item()) + 1])


@pytest.mark.parametrize("point", [False, True], ids=["distribution", "point mass"])
def test_many_trees_token_for_token(emulator: Emulator, point: bool) -> None:
    accepted = []
    for seed in range(100):
        case = Case(seed, TREES[seed % len(TREES)], 37, filtered=seed % 3 == 0, point=point)
        with emulated(emulator):
            got = case.run()
        assert decided(got) == decided(case.run()) == case.by_rule()
        accepted.append(int(got.accepted_count.item()))
        path = got.path.tolist()[: accepted[-1] + 1]
        assert path == [0, *case.tree.path(path[-1])]
        logs = np.array(log_distribution(case.rows.scores()))
        expected = logs[path, decided(got)]
        np.testing.assert_allclose(np.array(got.logprobs)[: len(path)], expected, atol=5e-5)
    assert set(accepted) >= {0, 1, 2}


def test_no_order_of_threads_and_no_sanitizer_objects(emulator: Emulator) -> None:
    case = Case(7, TREES[3], 150)
    expected = case.by_rule()
    proposed = case.proposal.rows
    assert proposed is not None
    case.proposal = replace(case.proposal, normalisers=row_normalisers(proposed))  # as drawing it would have left them
    orders = [Emulator(order=REVERSE), Emulator(order=3)]
    for how in (emulator, *orders, Emulator(build="address"), Emulator(build="thread")):
        with emulated(how):
            assert decided(case.run()) == expected
    assert emulator.launched == ["row_partials", "tree_decide"]


def test_trees_that_the_kernel_cannot_hold_are_left_to_the_rule(emulator: Emulator) -> None:
    with emulated(emulator):
        assert serves(full_tree([8]))
        assert not serves(full_tree([9]))
        assert not serves(full_tree([8, 8, 2]))
        assert not serves(tree_of(()))
    assert not serves(full_tree([2]))
