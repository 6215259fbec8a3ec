"""The models of the Hub: found, judged, fetched, kept and removed. See docs/models.md.

access     which Hub, with which token, into which cache folder
ask        one question to it; refusal is what it or the network said, as one sentence and a kind
search     words, names and addresses → models
remote     what a model of the Hub consists of, and which of its files are taken
judge      whether it is worth fetching here
fetching/  downloads
entries    the standard cache as it lies on the disk, damaged entries too; checksum compares its files
cache      what is installed: disk use, checking, deleting, moving
hub        a model of the Hub as a folder here, fetched where it must be
"""
