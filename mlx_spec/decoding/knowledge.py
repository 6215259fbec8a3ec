"""What a decoder has learnt of its pair on this machine, and hands from answer to answer."""

from collections.abc import Callable, Iterator

from mlx_spec.config import Exactness, ExactnessChoice, SamplingParams, SpeculativeConfig
from mlx_spec.decoding.cache.rows.known import known_widths, row_widths
from mlx_spec.decoding.cache.rows.widths import ANY, RowWidths
from mlx_spec.decoding.measuring.calibration import calibrated, wide_ratios
from mlx_spec.decoding.roster import taps_of
from mlx_spec.lookahead.controllers import controller
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.experience import ExperienceFile, shipped_with
from mlx_spec.lookahead.plan import LookaheadController
from mlx_spec.lookahead.shapes import pass_widths
from mlx_spec.lookahead.shared_costs import SharedCosts
from mlx_spec.models.loading import ModelPair


class Knowledge:
    """What passes cost, once that is measured, and controllers for each configuration, with what they have seen: as
    many as have planned at the same time.

    Once calibrated, what the drafters have shown is kept on disk too, for decoders to come.
    """

    def __init__(self, pair: ModelPair) -> None:
        self._pair = pair
        self._calibration: Calibration | None = None
        self._experience: ExperienceFile | None = None
        self._shared: dict[int | None, SharedCosts] = {}
        self._wide: dict[int, float] = {}
        self._controllers: dict[tuple[SpeculativeConfig, bool], list[CostLookahead]] = {}

    def calibrate(
        self, config: SpeculativeConfig, drafters: tuple[str, ...], tell: Callable[[str, float], None]
    ) -> Calibration:
        """Measure what passes of this pair cost here, or read it from the disk and check it. What was learnt before,
        without that, is forgotten."""
        taps = taps_of(self._pair, drafters)
        self._calibration = calibrated(self._pair, pass_widths(config), tell, taps, config.kv_bits, config.exactness)
        self._experience = ExperienceFile(
            self._pair.target_name, self._pair.draft_name, shipped=shipped_with(self._pair.name)
        )
        self._shared.clear()
        self._controllers.clear()
        return self._calibration

    def measure_wide(self, config: SpeculativeConfig, drafters: tuple[str, ...]) -> Iterator[None]:
        """Measure passes as wide as answers share them, or read it from the disk: a pass a step."""
        taps = taps_of(self._pair, drafters)
        self._wide = yield from wide_ratios(self._pair, taps, config.kv_bits, config.exactness)
        for shared in self._shared.values():
            shared.passes.widen(self._wide)

    def widths(self, config: SpeculativeConfig, *, measure: bool = False) -> RowWidths | None:
        """How wide a pass of the target may be so that its rows have the bits that they have alone; None where that was
        not measured, unless it shall be now."""
        find = row_widths if measure else known_widths
        return find(self._pair.target, self._pair.target_name, config.kv_bits)

    def exactness(self, config: SpeculativeConfig, choice: ExactnessChoice) -> tuple[Exactness, RowWidths]:
        """What comes of a choice, and how wide passes are then. That a choice of `auto` is fast where nothing was
        measured is for those who never calibrate."""
        if choice == "fast":
            return "fast", ANY
        widths = self.widths(config, measure=choice == "strict")
        if widths is None or (choice == "auto" and not widths.allows_strict):
            return "fast", ANY
        return "strict", widths

    def rows_hold(self, config: SpeculativeConfig) -> bool:
        """Whether it is known that a pass of any width leaves each row its bits."""
        known = self.widths(config)
        return known is not None and known.width is None

    def shared(self, widest: int | None = None) -> SharedCosts:
        """What passes cost that several answers share, where none has more than `widest` rows."""
        if widest not in self._shared:
            self._shared[widest] = SharedCosts(self._calibration, widest)
            self._shared[widest].passes.widen(self._wide)
        return self._shared[widest]

    def controller(
        self, config: SpeculativeConfig, params: SamplingParams, widest: int | None = None
    ) -> LookaheadController:
        """The controller of earlier answers where it may have learnt something, until its `end`. Greedy drafts fare
        differently. Of more than `widest` rows there are no passes."""
        if not config.adaptive_lookahead or config.controller != "cost":
            return controller(config, None, None, self.shared(widest))
        every = self._controllers.setdefault((config, params.greedy), [])
        free = next((one for one in every if not one.in_use), None)
        if free is None:
            made = every[0].another() if every else self._first(config, params, widest)
            if not isinstance(made, CostLookahead):
                return made
            free = made
            every.append(free)
        free.begin()
        return free

    def _first(self, config: SpeculativeConfig, params: SamplingParams, widest: int | None) -> LookaheadController:
        known = self._experience.read(greedy=params.greedy) if self._experience else None
        calibration = self._calibration.within(widest) if self._calibration else None
        return controller(config, calibration, known, self.shared(widest))

    def keep(self, config: SpeculativeConfig, params: SamplingParams) -> None:
        """Write down what the answers of this configuration have shown."""
        learnt = self._controllers.get((config, params.greedy))
        if self._experience and learnt:
            self._experience.write(learnt[0].experience, greedy=params.greedy)
