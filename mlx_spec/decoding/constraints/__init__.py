"""What an answer must look like: grammars, compiled for a tokenizer, and followed token by token."""
