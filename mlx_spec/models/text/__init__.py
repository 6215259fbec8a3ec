"""Between text and token ids: tokenizers and vocabularies, conversations, and what of an answer is final text."""
