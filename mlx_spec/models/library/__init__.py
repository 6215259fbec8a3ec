"""The models of the Hub: found, judged, fetched, kept and removed. See docs/models.md.

names      what a person may call a model: owner/name, owner/name@revision, an address
access     which Hub, with which token, into which cache folder
refusal    what the Hub or the network said, as one sentence and a kind
remote     what a model of the Hub consists of, and which of its files are taken
blob       one file: resumed by Range, checked, put into the standard Hub cache
download   one model: its files side by side, with retries; pause and cancel
changes    the order of what changes, and waking who follows it
downloads  all of them: the queue, kept on disk
entries    the standard cache as it lies on the disk, damaged entries too
cache      what is installed: disk use, checking, deleting, moving
estimate   what a model will take of memory; judge compares that with this machine
search     words, names and addresses → models
"""
