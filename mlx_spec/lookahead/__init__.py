"""How far to look ahead, and with which drafter: controllers that plan each round, and what theory expects of them.

Before a round a controller is told what the drafters could do (`Option`) and answers with a `Plan`; after it, what came
of it (`Observation`): `plan` holds the values. A lookahead is `fixed`, follows a `threshold`, or comes from the
`cost_controller`, which asks the `estimator` what each `candidate` would bring (by `costs` and `odds`) and tries others
now and then (`exploration`). Answers that share a step are planned `together`: `lengths` chooses for all of them, by
`shared_costs`. `experience` is what the next process begins with. Nothing here knows a model.
"""

from mlx_spec.lookahead.theory import expected_speedup, should_use_speculative

__all__ = ["expected_speedup", "should_use_speculative"]
