"""Fields of OpenAI and of neighbouring servers that would change the answer, and that this server does not know.

They are refused by name, as an answer that leaves out what was asked for is a wrong one. Many clients send them with
the value that asks for nothing, and those are let through. What changes no word (`user`, `store`, `cache_prompt`,
`ttl`), and what only hints at how long to think (`think`), is not in these lists.
"""

from collections.abc import Mapping
from typing import Any, Final

_NO_NUMBER: Final[dict[str, tuple[float, ...]]] = {
    # vLLM
    "min_tokens": (0,),
    "length_penalty": (1,),
    "prompt_logprobs": (),
    "truncate_prompt_tokens": (),
    # llama.cpp, and what grew around it
    "n_predict": (-1,),
    "num_predict": (-1,),
    "mirostat": (0,),
    "mirostat_mode": (0,),
    "dynatemp_range": (0,),
    "typical_p": (1,),
    "typical": (1,),
    "tfs_z": (1,),
    "tfs": (1,),
    "top_a": (0,),
    "top_n_sigma": (-1, 0),
    "xtc_probability": (0,),
    "dry_multiplier": (0,),
    "adaptive_target": (-1,),
    "t_max_predict_ms": (0, -1),
    "n_indent": (0,),
    "n_probs": (0,),
    "min_keep": (0,),
    # LM Studio and Ollama say so what is repetition_penalty here, over the last few tokens only
    "repeat_penalty": (1,),
    # mlx-lm
    "repetition_context_size": (),
    # text-generation-webui
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "smoothing_factor": (0,),
    "no_repeat_ngram_size": (0,),
    "penalty_alpha": (0,),
    "guidance_scale": (1,),
    "encoder_repetition_penalty": (1,),
}
_OFF: Final = (
    "use_beam_search",
    "early_stopping",
    "include_stop_str_in_output",
    "ignore_eos",
    "ban_eos_token",
    "no_stop_trim",
    "dynamic_temperature",
    "temperature_last",
)
_ON: Final = ("skip_special_tokens", "spaces_between_special_tokens", "add_special_tokens", "add_generation_prompt")
_NO_TEXT: Final = (
    "suffix",
    "grammar_string",
    "guided_regex",
    "guided_grammar",
    "ebnf",
    "structural_tag",
    "chat_template",
    "negative_prompt",
    "format",
    "stop_regex",
    "custom_logit_processor",
    "custom_token_bans",
    "adapters",
)
_NO_LIST: Final = (
    "guided_choice",
    "stop_token_ids",
    "allowed_token_ids",
    "bad_words",
    "banned_tokens",
    "banned_strings",
    "logits_processors",
    "samplers",
    "lora",
    "documents",
    "control_vectors",
    "sampler_order",
    "sampler_priority",
)
_NO_OBJECT: Final = ("structured_outputs", "options", "vllm_xargs", "role_mapping")
_NOTHING_BUT_NULL: Final = ("audio", "web_search_options", "guided_json")  # {} is a schema: any JSON

ASKS_NOTHING: Final[dict[str, tuple[object, ...]]] = {
    "modalities": (["text"],),
    **_NO_NUMBER,
    **dict.fromkeys(_OFF, (False,)),
    **dict.fromkeys(_ON, (True,)),
    **dict.fromkeys(_NO_TEXT, ("",)),
    **dict.fromkeys(_NO_LIST, ([],)),
    **dict.fromkeys(_NO_OBJECT, ({},)),
    **dict.fromkeys(_NOTHING_BUT_NULL, ()),
}
"""The fields, and the values besides null that ask for nothing."""


def is_same(value: object, other: object) -> bool:
    """Equality as JSON has it: 1 and 1.0 are one number, but 0 is not false and 1 is not true."""
    return isinstance(value, bool) == isinstance(other, bool) and value == other


def asked_foreign(body: Mapping[str, Any]) -> str | None:
    """The first field of a request that asks for what this server does not know; None where there is none."""
    for name, harmless in ASKS_NOTHING.items():
        value = body.get(name)
        if value is not None and not any(is_same(value, one) for one in harmless):
            return name
    return None
