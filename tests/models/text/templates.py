"""Chat templates of many shapes, written for these tests: how published ones write roles, trim, split and escape."""

from typing import Final

_GENERATE: Final = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def _turns(body: str, end: str = _GENERATE) -> str:
    return "{% for message in messages %}" + body + "{% endfor %}" + end


TEMPLATES: Final = {
    "as it is": _turns("<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"),
    "trimmed": _turns("<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"),
    "stripped": _turns("<|im_start|>{{ message.role }}\n{{ message.content.strip() }}<|im_end|>\n"),
    "added up": _turns("{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"),
    "bos first": "{{ bos_token }}" + _turns("[{{ message.role }}] {{ message.content }}{{ eos_token }}"),
    "as JSON": _turns("<|im_start|>{{ message.role }}\n{{ message.content | tojson }}<|im_end|>\n"),
    "as ASCII JSON": _turns("<|im_start|>{{ message | tojson(ensure_ascii=True) }}<|im_end|>\n"),
    "without reasoning": _turns(
        "{% set content = message.content %}"
        "{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
        "<|im_start|>{{ message.role }}\n{{ content }}<|im_end|>\n"
    ),
    "reasoning opened": _turns(
        "<|im_start|>{{ message.role }}\n{{ message.content.split('</think>')[-1] }}<|im_end|>\n",
        "<|im_start|>assistant\n<think>\n",
    ),
    "inst": _turns(
        "{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]"
        "{% else %} {{ message.content }}{{ eos_token }}{% endif %}",
        "",
    ),
    "system into the question": (
        "{% set ns = namespace(system='') %}{% for message in messages %}"
        "{% if message.role == 'system' %}{% set ns.system = message.content %}"
        "{% elif message.role == 'user' %}<|im_start|>user\n{{ ns.system }}{{ message.content }}<|im_end|>\n"
        "{% set ns.system = '' %}{% else %}<|im_start|>assistant\n{{ message.content }}<|im_end|>\n{% endif %}"
        "{% endfor %}<|im_start|>assistant\n"
    ),
    "last one apart": (
        "{% for message in messages[:-1] %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>{% endfor %}"
        "<|im_start|>{{ messages[-1].role }}\n{{ messages[-1]['content'] }}<|im_end|>\n<|im_start|>assistant\n"
    ),
    "a default system": (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
        + _turns("<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n")
    ),
    "a macro": (
        "{% macro turn(role, content) %}<|im_start|>{{ role }}\n{{ content }}<|im_end|>\n{% endmacro %}"
        + _turns("{{ turn(message.role, message.content) }}")
    ),
    "nothing between": _turns("{{ message.content }}", ""),
    "roles in capitals": _turns("### {{ message.role | upper }}:\n{{ message.content }}\n\n", "### ASSISTANT:\n"),
    "roles as tokens": _turns("<|{{ message.role }}|>\n{{ message.content }}<|im_end|>\n", "<|assistant|>\n"),
    "joined lines": _turns("<|im_start|>{{ message.role }}\n{{ message.content.splitlines() | join('\n') }}<|im_end|>"),
    "parts only": _turns(
        "<|im_start|>{{ message.role }}\n{% for part in message.content %}{% if part['type'] == 'text' %}"
        "{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    ),
    "parts or text": _turns(
        "<|im_start|>{{ message.role }}\n{% if message.content is string %}{{ message.content }}{% else %}"
        "{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>\n"
    ),
    "parts for the user": _turns(
        "<|im_start|>{{ message.role }}\n{% if message.role == 'user' %}{% for part in message.content %}"
        "{{ part.text }}{% endfor %}{% else %}{{ message.content }}{% endif %}<|im_end|>\n"
    ),
    "alternating": _turns(
        "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
        "{% endif %}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"
    ),
    "date": ("{{ strftime_now('%Y') }}" + _turns("<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n")),
}
