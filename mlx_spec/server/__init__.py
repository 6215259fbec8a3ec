"""The local OpenAI-compatible server: see docs/PROTOCOL.md.

`serve` binds, starts and ends it; `api` has its routes. A request comes in by `doorway` and `guard`, is read by
`requests`, goes through the one thread of `engine`, and is said back by `answers`; `library` is all of that for models.
Nothing is imported here: whoever reads a value of a request needs no uvicorn.
"""
