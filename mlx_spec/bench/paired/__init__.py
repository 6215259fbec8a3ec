"""Two sides, prompt by prompt in turns: fresh processes with and without drafts, a disturbed machine, another server.

`modes` says which sides there are and which ratios are wanted, `cold`, `disturbed` and `beside` make the raw runs,
`report` keeps them. `serving` asks servers several things at once. `crowd` tells what else the machine was doing.
"""
