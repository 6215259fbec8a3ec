"""The bench: what it runs, what it computes from raw runs, and what it says. No test asks how fast anything was."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from rich.console import Console

from mlx_spec.bench.contenders import make_contender
from mlx_spec.bench.host import HostRun, host_summary, measure_host
from mlx_spec.bench.plan import BASELINE, CONTENDERS, RULES, BenchPlan, Way, sweep_contenders, way_of
from mlx_spec.bench.prompts import KINDS, bench_prompts, prompts_of
from mlx_spec.bench.report import Report
from mlx_spec.bench.report_file import read_report, write_report
from mlx_spec.bench.runs import Passes, Run
from mlx_spec.bench.session import measure
from mlx_spec.bench.summary import differences, host_share, models_ms, round_efficiency, rows, rule_costs, sweep
from mlx_spec.cli.commands.bench.tables import tables
from mlx_spec.errors import ConfigError, LookaheadError, ModelError, PromptError, StorageError
from mlx_spec.models.heads.loading import load_head
from mlx_spec.models.loading import ModelPair
from tests.decoding.drafters.published import HIDDEN, LAYERS, eagle3
from tests.tiny import pair_of, tiny_llama, tiny_pair

TINY_PLAN = BenchPlan(kinds=("chat", "list"), temperatures=(0.0, 1.0), prompts=1, repeats=1, answer_tokens=20)
COUPLED = ("plain", "fixed", "ngram", "model", "eagle", "auto", "auto:tree")


@pytest.fixture(scope="module")
def headed_pair(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    """A tiny pair with a head."""
    target = tiny_llama(0, layers=LAYERS, hidden=HIDDEN)
    head = load_head(eagle3(tmp_path_factory.mktemp("heads") / "eagle")[0], "eagle3", target, "tiny")
    return replace(pair_of(target, tiny_llama(1)), heads={"eagle": head})


@pytest.fixture(scope="module")
def tiny_report(headed_pair: ModelPair, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Every contender on a tiny pair."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKAHEAD_HOME", str(tmp_path_factory.mktemp("home")))
        return measure(headed_pair, TINY_PLAN)


def a_run(contender: str, token_ids: tuple[int, ...] = (1, 2, 3, 4), seconds: float = 1.0, **values: object) -> Run:
    """A made-up run: one round a token unless told otherwise."""
    run = Run(
        contender=contender,
        temperature=0.0,
        kind="chat",
        prompt=0,
        repeat=0,
        token_ids=token_ids,
        seconds=seconds,
        host_seconds=0.0,
        rounds_by_draft=((0, len(token_ids)),),
        tested=0,
        accepted=0,
        draft_passes=0,
        draft_ms=None,
        verify_ms=None,
        peak_bytes=100,
    )
    return replace(run, **values)


ALONE = Passes(0.0, "chat", 0, 0, verify_ms=((1, 100.0), (3, 150.0)), draft_ms=20.0, cache_bytes=50)


def test_every_contender_answers_every_prompt_at_every_temperature(tiny_report: Report) -> None:
    ran = {(run.contender, run.temperature, run.kind) for run in tiny_report.runs}
    expected = {(name, t, kind) for name in CONTENDERS for t in (0.0, 1.0) for kind in ("chat", "list")}
    # At temperature 0 all rules are one.
    assert ran == expected - {(rule, 0.0, kind) for rule in RULES for kind in ("chat", "list")}
    assert len(tiny_report.runs) == len(ran)
    assert tiny_report.complete
    for run in tiny_report.runs:
        assert 0 < run.tokens <= 20
        assert run.rounds <= run.tokens + 1
        assert run.accepted <= run.tested


def test_taking_turns_within_answers_changes_no_word_and_counts_no_waiting(
    tiny_report: Report, headed_pair: ModelPair
) -> None:
    plan = replace(tiny_report.plan, contenders=("plain", "fixed", "auto"), kinds=("chat",), repeats=1, slices=3)
    started = time.perf_counter()
    sliced = measure(headed_pair, plan)
    spent = time.perf_counter() - started
    whole = {(run.contender, run.block): run for run in tiny_report.runs}
    assert len(sliced.runs) == 4 * plan.prompts * len(plan.temperatures)
    for run in sliced.runs:
        assert run.token_ids == whole[run.contender, run.block].token_ids
        assert run.peak_bytes is None, "others held memory meanwhile"
    assert sum(run.seconds for run in sliced.runs) < spent


def test_what_a_contender_begins_ahead_of_its_turns_end_is_its_own_to_pay(
    tiny_report: Report, headed_pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = mx.synchronize
    waits: list[float] = []

    def finish_slowly() -> None:
        finish()
        time.sleep(0.1)
        waits.append(0.1)

    monkeypatch.setattr(mx, "synchronize", finish_slowly)
    plan = replace(tiny_report.plan, contenders=("plain",), kinds=("chat",), temperatures=(0.0,), repeats=1, slices=3)
    sliced = measure(headed_pair, plan)
    assert len(waits) >= 5
    assert sum(run.seconds for run in sliced.runs) > sum(waits)


def test_the_words_of_ours_are_plain_decodings_for_the_seed(tiny_report: Report) -> None:
    for run in tiny_report.runs:
        if run.contender in COUPLED:
            reference = next(r for r in tiny_report.runs if r.contender == "plain" and r.block == run.block)
            assert run.token_ids == reference.token_ids, run.contender
    assert differences(tiny_report.runs) == []


def test_at_temperature_0_mlx_lm_says_the_same_words_and_its_rounds_are_counted_like_ours(tiny_report: Report) -> None:
    greedy = {(run.contender, run.block): run for run in tiny_report.runs if run.temperature == 0}
    for (name, block), run in greedy.items():
        if name == "mlx-lm-speculation":
            ours = greedy["fixed", block]
            assert run.token_ids == ours.token_ids == greedy[BASELINE, block].token_ids
            assert abs(run.rounds - ours.rounds) <= 1  # only near the end does mlx-lm draft one more
            assert abs(run.accepted - ours.accepted) <= 2


def test_ratios_are_recomputed_from_the_raw_runs(tiny_report: Report) -> None:
    assert tiny_report.pair is not None
    table = rows(tiny_report.runs, tiny_report.passes, tiny_report.pair.target_bytes, tiny_report.pair.draft_bytes)
    row = next(r for r in table if (r.contender, r.temperature, r.kind) == ("auto", 1.0, "all"))
    runs = {(r.contender, r.block): r for r in tiny_report.runs}
    ratios = sorted(
        (run.tokens / run.seconds) / (runs[BASELINE, block].tokens / runs[BASELINE, block].seconds)
        for (name, block), run in runs.items()
        if name == "auto" and run.temperature == 1.0
    )
    assert row.ratio is not None
    assert row.ratio.median == pytest.approx(sum(ratios) / 2)
    assert [row.ratio.least, row.ratio.greatest] == pytest.approx(ratios)
    assert row.ratio.count == 2
    baseline = next(r for r in table if (r.contender, r.temperature, r.kind) == (BASELINE, 1.0, "all"))
    assert baseline.ratio is not None
    assert baseline.ratio.median == 1.0
    assert baseline.efficiency == pytest.approx(1.0)


def test_a_report_survives_json_with_its_summary(tiny_report: Report, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    write_report(tiny_report, file)
    again = read_report(file)
    assert again == tiny_report
    assert again.to_dict() == tiny_report.to_dict()
    kept = json.loads(file.read_text())
    assert {"cores", "blas", "mlx", "date"} <= set(kept["machine"])
    assert len(kept["summary"]["rows"]) == 3 * (len(CONTENDERS) - len(RULES)) + 3 * len(CONTENDERS)
    assert [cost["rule"] for cost in kept["summary"]["rules"]] == ["token", "block"]


def test_what_cannot_be_written_or_read_is_one_sentence(tiny_report: Report, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written to"):
        write_report(tiny_report, tmp_path / "nowhere" / "report.json")
    (tmp_path / "other.json").write_text("[1]")
    for name in ("other.json", "missing.json"):
        with pytest.raises(LookaheadError, match="is no report of a measurement"):
            read_report(tmp_path / name)


def test_the_table_names_every_contender_and_fits_a_hundred_columns(tiny_report: Report) -> None:
    console = Console(width=100, file=io.StringIO())
    # Times are made up: how wide a number is must not hang on who else uses the machine.
    report = replace(tiny_report, runs=[replace(run, seconds=10.0) for run in tiny_report.runs])
    with console.capture() as captured:
        console.print(tables(report))
    text = captured.get()
    for name in TINY_PLAN.contenders:
        assert TINY_PLAN.title(name) in text
    assert "…" not in text
    assert "coupled against block" in text
    assert "warning" not in text


def test_the_share_of_the_host_is_what_the_passes_alone_do_not_explain() -> None:
    # Two rounds of two drafts and one without: 2 x 150 + 100 + 4 x 20 = 480 ms of passes in 600 ms.
    run = a_run("fixed", seconds=0.6, rounds_by_draft=((0, 1), (2, 2)), draft_passes=4)
    assert models_ms(run, ALONE) == pytest.approx(480)
    assert host_share([(run, ALONE)]) == pytest.approx(0.2)


def test_round_efficiency_is_the_ideal_time_over_the_time_it_took() -> None:
    # A plain step takes 80 ms: three rounds 240 ms at best, and four reads of a draft of a tenth of the bytes 32 ms.
    run = a_run("fixed", seconds=0.544, rounds_by_draft=((0, 1), (2, 2)), draft_passes=4)
    assert round_efficiency([(run, 80.0)], target_bytes=1000, draft_bytes=100) == pytest.approx(0.5)


def test_a_row_of_made_up_runs() -> None:
    plain = a_run(BASELINE, seconds=0.4)
    drafted = a_run(
        "fixed",
        seconds=0.5,
        rounds_by_draft=((2, 2),),
        tested=4,
        accepted=2,
        draft_passes=4,
        draft_ms=100.0,
        verify_ms=350.0,
        peak_bytes=1100,
    )
    row = next(r for r in rows([plain, drafted], [ALONE], 900, 50) if (r.contender, r.kind) == ("fixed", "chat"))
    assert row.tokens_per_second == pytest.approx(8.0)
    assert row.ratio is not None
    assert row.ratio.median == pytest.approx(0.8)
    assert row.speculation_ratio is None
    assert row.tokens_per_round == 2.0
    assert row.acceptance == 0.5
    assert (row.draft_share, row.verify_share) == (pytest.approx(0.2), pytest.approx(0.7))
    assert row.host_share == pytest.approx(1 - (2 * 150 + 4 * 20) / 500)
    assert row.memory == pytest.approx(1.1)
    assert row.efficiency == pytest.approx((2 * 100 + 4 * 100 * 50 / 900) / 500)


def test_the_cost_of_coupled_is_told_against_each_rule() -> None:
    coupled = a_run("fixed", seconds=2.0, tested=10, accepted=3)
    runs = [coupled, a_run("token", seconds=1.0, tested=10, accepted=4)]
    (cost,) = rule_costs(runs)
    assert (cost.rule, cost.coupled_acceptance, cost.rule_acceptance, cost.speed.median) == ("token", 0.3, 0.4, 0.5)


def test_the_sweep_compares_the_chosen_length_with_the_best_fixed_one() -> None:
    times = {BASELINE: 1.0, "plain": 1.0, "model:1": 0.8, "model:2": 0.5, "model:3": 0.9, "auto": 0.4}
    (line,) = sweep([a_run(name, seconds=seconds) for name, seconds in times.items()])
    assert line.best_length == 2
    assert dict(line.ratios) == pytest.approx({0: 1.0, 1: 1.25, 2: 2.0, 3: 1 / 0.9})
    assert (line.auto, line.auto_ratio, line.of_best.median) == ("auto", 2.5, 1.25)
    assert sweep([a_run(BASELINE), a_run("plain"), a_run("auto")]) == []


def test_words_that_differ_are_warned_of_and_the_other_rules_are_excused() -> None:
    runs = [
        a_run("plain"),
        a_run("auto", (1, 2, 9)),
        a_run("fixed", (1, 2, 3)),
        a_run("token", (7,)),
        a_run(BASELINE, (8,)),
    ]
    sentences = differences(runs)
    assert [s.partition(" (")[0] for s in sentences] == [
        "auto differs from plain at token 3",
        "fixed differs from plain at token 4",
    ]


def test_a_sweep_runs_every_length_and_drafts_no_other() -> None:
    plan = replace(TINY_PLAN, contenders=sweep_contenders(), kinds=("chat",), temperatures=(0.0,))
    report = measure(tiny_pair(0), plan)
    drafted = {run.contender: {length for length, _ in run.rounds_by_draft} for run in report.runs}
    for length in range(1, 9):
        assert max(drafted[f"model:{length}"]) == length
    assert drafted["plain"] == {0}
    assert [line.auto for line in sweep(report.runs)] == ["model", "auto"]


def test_repeats_have_seeds_of_their_own_and_each_block_is_saved() -> None:
    saved: list[tuple[int, bool]] = []
    plan = replace(TINY_PLAN, contenders=("plain",), kinds=("chat",), temperatures=(1.0,), repeats=2)
    report = measure(tiny_pair(0), plan, save=lambda so_far: saved.append((len(so_far.runs), so_far.complete)))
    assert saved == [(2, False), (4, True)]
    first, second = (run for run in report.runs if run.contender == "plain")
    assert first.token_ids != second.token_ids
    assert [run.contender for run in report.runs] == [BASELINE, "plain", "plain", BASELINE]


def test_past_the_end_all_answers_are_of_one_length() -> None:
    pair = tiny_pair(0)
    first_token = measure(pair, replace(TINY_PLAN, contenders=("plain",), kinds=("chat",))).runs[0].token_ids[0]
    pair.tokenizer.eos_token_ids = [first_token]
    plan = replace(TINY_PLAN, contenders=("plain", "fixed", "mlx-lm-speculation"), kinds=("chat",), temperatures=(0.0,))
    assert {run.tokens for run in measure(pair, plan).runs} == {0}
    assert {run.tokens for run in measure(pair, replace(plan, past_end=True)).runs} == {20}
    assert pair.eos_token_ids == {first_token}


def test_all_contenders_keep_keys_and_values_in_the_bits_that_were_asked_for() -> None:
    pair = pair_of(tiny_llama(0, hidden=128), tiny_llama(1, hidden=128))
    plan = replace(TINY_PLAN, contenders=("plain", "fixed", "mlx-lm-speculation"), temperatures=(0.0,), kinds=("chat",))
    words, sizes = {}, {}
    for bits in (None, 4):
        report = measure(pair, replace(plan, kv_bits=bits))
        (words[bits],) = {run.token_ids for run in report.runs}
        sizes[bits] = report.passes[0].cache_bytes
    assert words[4] != words[None]
    assert sizes[4] < sizes[None]
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))).plan == report.plan
    with pytest.raises(ConfigError, match="kv_bits is 5"):
        replace(plan, kv_bits=5)


def test_without_a_draft_model_what_needs_one_is_left_out_or_refused() -> None:
    pair = pair_of(tiny_llama(0), None)
    plan = replace(TINY_PLAN, contenders=CONTENDERS, kinds=("chat",), temperatures=(0.0,))
    report = measure(pair, plan)
    assert {run.contender for run in report.runs} == {BASELINE, "plain", "ngram", "auto", "auto:tree"}
    assert any("no draft model" in note for note in report.notes)
    assert any("no eagle head, so eagle cannot be measured" in note for note in report.notes)
    with pytest.raises(ModelError, match="no draft model, so fixed cannot be measured"):
        make_contender("fixed", pair, plan)


def test_a_prompt_that_does_not_fit_is_left_out_and_said() -> None:
    pair = replace(tiny_pair(0), context_length=200)
    report = measure(pair, replace(TINY_PLAN, contenders=("plain",), kinds=("chat", "copy-edit"), temperatures=(0.0,)))
    assert {run.kind for run in report.runs} == {"chat"}
    assert any(note.startswith("copy-edit 1 is left out") for note in report.notes)
    with pytest.raises(PromptError, match="No prompt fits"):
        measure(pair, replace(TINY_PLAN, kinds=("long",)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"contenders": ("plain", "fast")}, "contenders is 'fast': it must be of these: mlx-lm,"),
        ({"contenders": ("model:33",)}, "contenders is 'model:33'"),
        ({"contenders": ("eagle:0x2",)}, "contenders is 'eagle:0x2'"),
        ({"contenders": ()}, "contenders is '': it must be at least one name"),
        ({"kinds": ("poems",)}, "kinds is 'poems': it must be of these: chat, code, copy-edit"),
        ({"temperatures": (-1.0,)}, "temperature is -1.0: it must be a number in"),
        ({"temperatures": ()}, "temperatures is '': it must be at least one number"),
        ({"prompts": 0}, "prompts is 0: it must be a whole number of at least 1"),
        ({"repeats": 0}, "repeats is 0"),
        ({"answer_tokens": 1}, "answer_tokens is 1"),
        ({"lookahead": 40}, "lookahead is 40: it must be a whole number from 1 to 32"),
    ],
)
def test_a_plan_names_what_is_wrong_with_it(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        BenchPlan(**values)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "way", "title"),
    [
        ("model", Way("model"), "ours model, auto"),
        ("model:4", Way("model", 4), "ours model, 4"),
        ("eagle:3x2", Way("eagle", tree="3x2"), "ours eagle, 3x2"),
        ("eagle:6x8:48", Way("eagle", tree="6x8:48"), "ours eagle, 6x8:48"),
        ("eagle:tree", Way("eagle", trees=True), "ours eagle, auto trees"),
        ("auto", Way("auto"), "ours auto"),
        ("auto:tree", Way("auto", trees=True), "ours auto trees"),
    ],
)
def test_a_contender_says_how_it_drafts(name: str, way: Way, title: str) -> None:
    assert way_of(name) == way
    assert BenchPlan().title(name) == title


def test_a_head_is_not_charged_for_the_draft_models_passes(headed_pair: ModelPair) -> None:
    plan = replace(TINY_PLAN, contenders=("fixed", "eagle:2"), kinds=("chat",), temperatures=(0.0,))
    report = measure(headed_pair, plan)
    passes = {run.contender: run.draft_passes for run in report.runs}
    assert passes["eagle:2"] is None
    assert passes["fixed"]
    assert report.pair is not None
    table = rows(report.runs, report.passes, report.pair.target_bytes, report.pair.draft_bytes)
    host = {row.contender: row.host_share for row in table}
    assert host["eagle:2"] is None
    assert host["fixed"] is not None


def test_a_fixed_tree_is_drafted_whole() -> None:
    pair = tiny_pair(0)
    plan = replace(TINY_PLAN, contenders=("model:2x2",), kinds=("chat",), temperatures=(0.0,))
    run = next(run for run in measure(pair, plan).runs if run.contender == "model:2x2")
    assert max(drafted for drafted, _ in run.rounds_by_draft) == 6


def test_the_baseline_is_always_measured() -> None:
    assert BenchPlan(contenders=("auto",)).contenders == (BASELINE, "auto")


def test_there_are_prompts_of_every_kind_and_enough_short_ones() -> None:
    for kind in KINDS:
        prompts = prompts_of(kind)
        assert len(prompts) >= (1 if kind == "long" else 3)
        assert all(prompt.text for prompt in prompts)
    texts = bench_prompts(40)
    assert len(set(texts)) == 40
    assert sum(len(prompts_of(kind)) for kind in ("chat", "code", "list")) >= 40
    assert len({prompt.text for kind in KINDS for prompt in prompts_of(kind)}) == sum(len(prompts_of(k)) for k in KINDS)


def test_the_host_is_measured_in_ours_and_in_mlx_lm_at_one_length() -> None:
    runs = measure_host(replace(TINY_PLAN, temperatures=(0.0,), lookahead=3), repeats=1)
    assert [(run.contender, run.repeat) for run in runs] == [("mlx-lm-speculation", 0), ("fixed", 0)]
    assert all(run.rounds > 0 and run.total_ms >= run.host_ms > 0 and run.passes_ms > 0 for run in runs)


def test_the_ratio_of_the_host_is_that_of_pairs() -> None:
    runs = [
        HostRun(name, 0.0, repeat, 10, 2 * total + 10, total, 10.0)
        for name, totals in (("fixed", (20.0, 40.0, 60.0)), ("mlx-lm-speculation", (40.0, 100.0, 100.0)))
        for repeat, total in enumerate(totals)
    ]
    (row,) = host_summary(runs)
    assert (row.ours_ms, row.mlx_lm_ms, row.ours_passes_ms) == (9.0, 21.0, 1.0)
    assert (row.ours_host_ms, row.mlx_lm_host_ms) == (4.0, 10.0)
    assert row.round_ratio == pytest.approx(5 / 9)
    assert (row.ratio, row.ratio_least, row.ratio_greatest) == (0.5, 0.4, 0.6)
