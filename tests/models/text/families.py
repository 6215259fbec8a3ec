"""Chat templates that behave as published ones do, written for these tests: none of them is copied.

What is kept of each family is what decides how much of a next prompt is known: roles and marks, what is trimmed, which
turns are written otherwise once they are over, where a system prompt goes, and what depends on the day.
"""

from dataclasses import dataclass
from typing import Final, Literal

Thinks = Literal["no", "in tags", "tag opened", "in channels"]
Kind = Literal["bytes", "pieces"]
THINKING: Final = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Family:
    """A template, its tokens, and how its model answers. `note` is what it does with turns that are over; `dated`
    where it writes the day. The last of `tokens` ends an answer."""

    template: str
    tokens: tuple[str, ...]
    note: str = "appends"
    thinks: Thinks = "no"
    kind: Kind = "bytes"
    system: bool = True
    dated: bool = False


def _loop(body: str, generate: str, before: str = "") -> str:
    loop = "{% for message in messages %}" + body + "{% endfor %}"
    return before + loop + "{% if add_generation_prompt %}" + generate + "{% endif %}"


def _turns(before: str, after: str, end: str, *, content: str = "message.content", first: str = "") -> str:
    """Every role is written alike: `before`, with ROLE for its name, the content, `end`. An answer begins with `before`
    and `after`."""
    body = before.replace("ROLE", "{{ message.role }}") + after + "{{ " + content + " }}" + end
    return _loop(body, before.replace("ROLE", "assistant") + after, first)


def _unless_system(text: str) -> str:
    return "{% if messages[0].role != 'system' %}" + text + "{% endif %}"


# What is in a name's place for an answer that thought: the answer alone.
_ANSWER: Final = (
    "{% set said = message.content %}{% if message.role == 'assistant' %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
)
_LAST_QUESTION: Final = (
    "{% set ns = namespace(last=0) %}{% for message in messages %}{% if message.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
)
_CHATML: Final = ("<|im_start|>", "<|endoftext|>", "<|im_end|>")
_TODAY: Final = "{{ strftime_now('%d %b %Y') }}"

FAMILIES: Final[dict[str, Family]] = {
    "ChatML (Yi, Hermes)": Family(_turns("<|im_start|>ROLE\n", "", "<|im_end|>\n"), _CHATML),
    "SmolLM2": Family(
        _turns(
            "<|im_start|>ROLE\n", "", "<|im_end|>\n", first=_unless_system("<|im_start|>system\nYou help.<|im_end|>\n")
        ),
        _CHATML,
        "appends; a system prompt of its own",
        system=False,
    ),
    "Qwen 2.5": Family(
        _loop(
            "{% if message.role == 'system' and loop.first %}{% else %}"
            "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endif %}",
            "<|im_start|>assistant\n",
            "<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}"
            "{% else %}You help, and you know who made you.{% endif %}<|im_end|>\n",
        ),
        _CHATML,
        "appends; a system prompt of its own",
    ),
    "Qwen 3": Family(
        _loop(
            "{% if message.role == 'assistant' %}{% set said = message.content.split('</think>')[-1].lstrip('\n') %}"
            "{% set thought = message.content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
            "<|im_start|>assistant\n{% if loop.index0 > ns.last and '</think>' in message.content %}"
            "<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ said }}<|im_end|>\n"
            "{% else %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endif %}",
            "<|im_start|>assistant\n",
            _LAST_QUESTION,
        ),
        _CHATML,
        "drops the thinking of all before the last question",
        thinks="in tags",
    ),
    "QwQ": Family(
        _loop(_ANSWER + "<|im_start|>{{ message.role }}\n{{ said }}<|im_end|>\n", "<|im_start|>assistant\n<think>\n"),
        _CHATML,
        "drops thinking, which the prompt opens",
        thinks="tag opened",
    ),
    "Llama 2": Family(
        "{% set ns = namespace(system='') %}{% for message in messages %}"
        "{% if message.role == 'system' %}"
        "{% set ns.system = '<<SYS>>\n' + message.content.strip() + '\n<</SYS>>\n\n' %}"
        "{% elif message.role == 'user' %}{{ bos_token }}[INST] {{ ns.system + message.content.strip() }} [/INST]"
        "{% set ns.system = '' %}{% else %} {{ message.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}",
        ("</s>",),
        "trims",
        kind="pieces",
    ),
    "Llama 3": Family(
        _turns(
            "<|start_header_id|>ROLE<|end_header_id|>\n\n",
            "",
            "<|eot_id|>",
            content="message.content | trim",
            first="{{ bos_token }}",
        ),
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "trims",
    ),
    "Llama 3.1, 3.2": Family(
        _loop(
            "{% if message.role != 'system' %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
            "{{ message.content | trim }}<|eot_id|>{% endif %}",
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\nKnown until: 2023\nToday: " + _TODAY + "\n\n"
            "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}{% endif %}<|eot_id|>",
        ),
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "trims; the day stands first",
        dated=True,
    ),
    "Llama 4": Family(
        _turns(
            "<|header_start|>ROLE<|header_end|>\n\n",
            "",
            "<|eot|>",
            content="message.content | trim",
            first="{{ bos_token }}",
        ),
        ("<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>"),
        "trims",
    ),
    "Mistral v1": Family(
        "{{ bos_token }}{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{% if message.role == 'user' %}"
        "[INST] {{ message.content }} [/INST]{% else %}{{ message.content }}{{ eos_token }} {% endif %}{% endfor %}",
        ("</s>",),
        "appends, and a space; no system role",
        kind="pieces",
    ),
    "Mistral v3": Family(
        _LAST_QUESTION + "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] "
        "{% if loop.index0 == ns.last and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}"
        "{{ message.content }}[/INST]{% elif message.role == 'assistant' %} {{ message.content | trim }}{{ eos_token }}"
        "{% endif %}{% endfor %}",
        ("[INST]", "[/INST]", "</s>"),
        "trims; moves the system prompt to the last question",
        kind="pieces",
    ),
    "Mistral v7": Family(
        "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}"
        "[SYSTEM_PROMPT]{{ message.content }}[/SYSTEM_PROMPT]{% elif message.role == 'user' %}"
        "[INST]{{ message.content }}[/INST]{% else %}{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}",
        ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]", "</s>"),
        kind="pieces",
    ),
    "Gemma 2": Family(
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + _loop(
            "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
            "{{ message.content | trim }}<end_of_turn>\n",
            "<start_of_turn>model\n",
        ),
        ("<start_of_turn>", "<end_of_turn>"),
        "trims; no system role",
        kind="pieces",
    ),
    "Gemma 3": Family(
        "{{ bos_token }}{% set ns = namespace(system='') %}"
        + _loop(
            "{% if message.role == 'system' %}{% set ns.system = message.content + '\n\n' %}{% else %}"
            "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n{{ ns.system }}"
            "{% set ns.system = '' %}{{ message.content | trim }}<end_of_turn>\n{% endif %}",
            "<start_of_turn>model\n",
        ),
        ("<start_of_turn>", "<end_of_turn>"),
        "trims; the system prompt stands in the first question",
        kind="pieces",
    ),
    "Phi-3": Family(
        "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}<|user|>\n{{ message.content }}"
        "<|end|>\n<|assistant|>\n{% elif message.role == 'assistant' %}{{ message.content }}<|end|>\n{% endif %}"
        "{% endfor %}",
        ("<|user|>", "<|assistant|>", "<|end|>"),
        "appends; no system role",
        kind="pieces",
    ),
    "Phi-3.5": Family(
        _turns("<|ROLE|>\n", "", "<|end|>\n"),
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        kind="pieces",
    ),
    "Phi-4": Family(
        _turns("<|im_start|>ROLE<|im_sep|>", "", "<|im_end|>"), ("<|im_start|>", "<|im_sep|>", "<|im_end|>")
    ),
    "DeepSeek V3": Family(
        _loop(
            "{% if message.role == 'system' %}{{ message.content }}{% elif message.role == 'user' %}"
            "<｜User｜>{{ message.content }}{% else %}<｜Assistant｜>{{ message.content }}{{ eos_token }}{% endif %}",
            "<｜Assistant｜>",
            "{{ bos_token }}",
        ),
        ("<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
    ),
    "DeepSeek R1": Family(
        _loop(
            "{% if message.role == 'system' %}{{ message.content }}{% elif message.role == 'user' %}"
            "<｜User｜>{{ message.content }}{% else %}<｜Assistant｜>{{ message.content.split('</think>')[-1] }}"
            "{{ eos_token }}{% endif %}",
            "<｜Assistant｜><think>\n",
            "{{ bos_token }}",
        ),
        ("<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        "drops thinking, which the prompt opens",
        thinks="tag opened",
    ),
    "Command-R": Family(
        _loop(
            "<|START_OF_TURN_TOKEN|>{% if message.role == 'assistant' %}<|CHATBOT_TOKEN|>{% else %}"
            "<|{{ message.role | upper }}_TOKEN|>{% endif %}{{ message.content.strip() }}<|END_OF_TURN_TOKEN|>",
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
            "{{ bos_token }}",
        ),
        (
            "<BOS_TOKEN>",
            "<|START_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
        ),
        "trims",
    ),
    "Zephyr": Family(_turns("<|ROLE|>\n", "", "{{ eos_token }}\n"), ("</s>",), kind="pieces"),
    "Vicuna": Family(
        _loop(
            "{% if message.role == 'system' %}{{ message.content }} {% elif message.role == 'user' %}"
            "USER: {{ message.content.strip() }} {% else %}ASSISTANT: {{ message.content.strip() }}{{ eos_token }}"
            "{% endif %}",
            "ASSISTANT:",
        ),
        ("</s>",),
        "trims; its roles are words",
        kind="pieces",
    ),
    "SmolLM3": Family(
        _loop(
            "{% if message.role == 'assistant' %}<|im_start|>assistant\n{{ message.content.lstrip('\n') }}<|im_end|>\n"
            "{% elif message.role == 'user' %}<|im_start|>user\n{{ message.content }}<|im_end|>\n{% endif %}",
            "<|im_start|>assistant\n",
            "<|im_start|>system\n## Metadata\nToday: " + _TODAY + "\n\n{% if messages[0].role == 'system' %}"
            "{{ messages[0].content }}{% endif %}<|im_end|>\n",
        ),
        _CHATML,
        "keeps thinking; the day stands first",
        thinks="in tags",
        dated=True,
    ),
    "OLMo 2": Family(
        _loop(
            "{% if message.role == 'assistant' %}<|assistant|>\n{{ message.content }}{{ eos_token }}"
            "{% if not loop.last %}{{ '\n' }}{% endif %}"
            "{% else %}<|{{ message.role }}|>\n{{ message.content }}{{ '\n' }}{% endif %}",
            "<|assistant|>\n",
            "{{ bos_token }}",
        ),
        ("<|endoftext|>",),
    ),
    "Granite 3": Family(
        _loop(
            "{% if message.role != 'system' %}<|start_of_role|>{{ message.role }}<|end_of_role|>{{ message.content }}"
            "<|end_of_text|>\n{% endif %}",
            "<|start_of_role|>assistant<|end_of_role|>",
            "<|start_of_role|>system<|end_of_role|>Known until: 2024.\nToday: " + _TODAY + ".\n"
            "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}<|end_of_text|>\n",
        ),
        ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"),
        "appends; the day stands first",
        dated=True,
    ),
    "gpt-oss": Family(
        _loop(
            "{% if message.role == 'system' %}"
            "<|start|>developer<|message|># Instructions\n\n{{ message.content }}<|end|>"
            "{% elif message.role == 'user' %}<|start|>user<|message|>{{ message.content }}<|end|>"
            "{% else %}{% if message.thinking and loop.last and not add_generation_prompt %}"
            "<|start|>assistant<|channel|>analysis<|message|>{{ message.thinking }}<|end|>{% endif %}"
            "<|start|>assistant<|channel|>final<|message|>{{ message.content }}<|end|>{% endif %}",
            "<|start|>assistant",
            "<|start|>system<|message|>You help.\nCurrent date: " + _TODAY + "\n\nReasoning: medium<|end|>",
        ),
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"),
        "drops the analysis; ends otherwise; the day stands first",
        thinks="in channels",
        dated=True,
    ),
    "GLM-4": Family(
        _turns("<|ROLE|>\n", "", "", first="[gMASK]<sop>"),
        ("[gMASK]", "<sop>", "<|system|>", "<|assistant|>", "<|user|>"),
    ),
    "GLM-4.5": Family(
        _loop(
            "{% if message.role == 'assistant' %}<|assistant|>\n<think>"
            "{% if loop.index0 > ns.last %}{{ message.content.split('</think>')[0].split('<think>')[-1].strip() }}"
            "{% endif %}</think>\n{{ message.content.split('</think>')[-1].strip() }}"
            "{% else %}<|{{ message.role }}|>\n{{ message.content }}{% endif %}",
            "<|assistant|>\n",
            _LAST_QUESTION + "[gMASK]<sop>",
        ),
        ("[gMASK]", "<sop>", "<|system|>", "<|assistant|>", "<|user|>"),
        "empties the thinking of all before the last question",
        thinks="in tags",
    ),
    "Falcon 3": Family(
        _loop(
            "{% if message.role == 'assistant' %}<|assistant|>\n{{ message.content }}{{ eos_token }}\n"
            "{% else %}<|{{ message.role }}|>\n{{ message.content }}\n{% endif %}",
            "<|assistant|>\n",
        ),
        ("<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"),
    ),
    "MiniCPM": Family(
        _loop(
            "{% if message.role == 'user' %}<用户>{{ message.content.strip() }}<AI>{% else %}"
            "{{ message.content.strip() }}{% endif %}",
            "",
        ),
        ("</s>",),
        "trims; nothing ends an answer",
        kind="pieces",
        system=False,
    ),
    "Nemotron": Family(
        _loop(
            "{% if message.role != 'system' %}{% set said = message.content %}{% if message.role == 'assistant' %}"
            "{% set said = message.content.split('</think>')[-1].lstrip() %}{% endif %}"
            "<SPECIAL_11>{{ message.role | capitalize }}\n{{ said }}\n{% endif %}",
            "<SPECIAL_11>Assistant\n<think>\n",
            "<SPECIAL_10>System\n{% if messages[0].role == 'system' %}{{ messages[0].content.strip() }}{% endif %}"
            "{{ '\n' }}",
        ),
        ("<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"),
        "drops thinking, which the prompt opens",
        thinks="tag opened",
    ),
    "LFM2": Family(
        _loop(
            "{% set said = message.content %}{% if message.role == 'assistant' and loop.index0 != ns.last_answer %}"
            "{% set said = message.content.split('</think>')[-1] | trim %}{% endif %}"
            "<|im_start|>{{ message.role }}\n{{ said }}<|im_end|>\n",
            "<|im_start|>assistant\n",
            "{{ bos_token }}{% set ns = namespace(last_answer=-1) %}{% for message in messages %}"
            "{% if message.role == 'assistant' %}{% set ns.last_answer = loop.index0 %}{% endif %}{% endfor %}",
        ),
        ("<|startoftext|>", "<|im_start|>", "<|im_end|>"),
        "drops the thinking of all but the last answer",
        thinks="in tags",
    ),
    "EXAONE": Family(
        _loop(
            "[|{{ message.role }}|]{{ message.content }}"
            "{% if message.role == 'user' %}{{ '\n' }}{% else %}[|endofturn|]\n{% endif %}",
            "[|assistant|]",
        ),
        ("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"),
    ),
    "Kimi K2": Family(
        _turns(
            "<|im_ROLE|>ROLE<|im_middle|>",
            "",
            "<|im_end|>",
            first=_unless_system("<|im_system|>system<|im_middle|>You help.<|im_end|>"),
        ),
        ("<|im_system|>", "<|im_user|>", "<|im_assistant|>", "<|im_middle|>", "<|im_end|>"),
        "appends; a system prompt of its own",
    ),
}
