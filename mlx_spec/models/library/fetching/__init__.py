"""Models on their way here.

downloads     all of them: the queue, kept on disk by records
download      one model: its files side by side, with retries; pause and cancel
blob          one file: resumed by Range, checked, put into the standard Hub cache
snapshot      the finished model, as every tool finds it there
status        how a download stands; changes wake who follows it
speed, stop   how fast it is, and how it is ended
"""
