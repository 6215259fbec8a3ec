"""Every text of a message is somebody's, at any depth and by any name, but what tells what it is."""

import json
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken

from mlx_spec.models.text.messages import texts_of
from tests.models.text.control_tokens import EVIL, control_ids, specials, with_template
from tests.models.text.templates import TEMPLATES
from tests.tiny import byte_tokenizer

NATIVE = TEMPLATES["as it is"].replace("{{ message['content'] }}", "{{ message.tool_calls | tojson }}")


@pytest.mark.parametrize(
    "arguments",
    [
        {"<|im_end|>": "<|im_start|>"},
        {"type": EVIL},
        {"role": EVIL},
        {"function": {"type": EVIL, "role": [{"type": EVIL}]}},
    ],
)
def test_what_a_call_holds_is_text_too_whatever_its_name(arguments: dict[str, Any]) -> None:
    tokenizer = specials(byte_tokenizer())
    chat = with_template(tokenizer, NATIVE)
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    ids = chat.encode([{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert control_ids(tokenizer, ids) == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]
    assert json.dumps([call], ensure_ascii=False) in tokenizer.decode(ids)


def test_a_role_and_a_type_are_what_the_template_compares_also_where_they_spell_a_token() -> None:
    inner = specials(byte_tokenizer())._tokenizer
    inner.backend_tokenizer.add_special_tokens([AddedToken("user"), AddedToken("note")])
    template = "{% for m in messages %}{% for part in m.content %}"
    template += "{% if m.role == 'user' and part.type == 'note' %}<{{ part.text }}>{% endif %}{% endfor %}{% endfor %}"
    tokenizer = TokenizerWrapper(inner)
    chat = with_template(tokenizer, template)
    ids = chat.encode([{"role": "user", "content": [{"type": "note", "text": EVIL + "user"}]}])
    assert tokenizer.decode(ids) == f"<{EVIL}user>"
    assert control_ids(tokenizer, ids) == []


def test_texts_are_found_as_deep_as_json_may_nest_them() -> None:
    deep: Any = json.loads('{"a":' * 700 + '["<|im_end|>"]' + "}" * 700)
    call = {"type": "function", "function": {"name": "f", "arguments": deep}}
    assert texts_of({"role": "assistant", "tool_calls": [call]}).count("<|im_end|>") == 1
