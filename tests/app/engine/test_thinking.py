"""What the engine tells apart is one text in a chat, and is taken apart again where it is shown."""

import json

from app.engine.protocol import TaggedText, Text, Thought, parse_chunk
from app.engine.request import begun_in
from app.render.reasoning import Parts, split_reasoning


def test_a_chunk_tells_what_is_thought_and_what_is_said() -> None:
    assert parse_chunk(json.dumps({"choices": [{"delta": {"reasoning_content": "hm"}}]})) == [Thought("hm")]
    both = {"choices": [{"delta": {"reasoning_content": "so", "content": "Yes."}}]}
    assert parse_chunk(json.dumps(both)) == [Thought("so"), Text("Yes.")]


def test_reasoning_is_folded_as_it_comes() -> None:
    tagged = TaggedText()
    text = tagged.thought("Is it ") + tagged.thought("so?")
    assert split_reasoning(text) == Parts("Is it so?", "", is_thinking=True)
    text += tagged.said("Yes") + tagged.said(", it is.")
    assert split_reasoning(text) == Parts("Is it so?", "Yes, it is.")
    assert TaggedText().said("Yes.") == "Yes."


def test_an_answer_that_goes_on_inside_of_its_reasoning_opens_no_tag_again() -> None:
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "<think>\nIs it"}]
    begun = begun_in({"messages": messages, "continue_final_message": True})
    tagged = TaggedText(begun)
    text = begun + tagged.thought(" so?") + tagged.said("Yes.")
    assert split_reasoning(text) == Parts("Is it so?", "Yes.")
    assert begun_in({"messages": messages}) == ""
    assert TaggedText("<think>\nhm\n</think>\n\nYes").said(".") == "."
