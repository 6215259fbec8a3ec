"""The control channel: one TCP connection from each follower to the leader, beside those of the collectives. A
collective has no time limit, and needs its shapes known beforehand; a socket has the one and not the other.
"""
