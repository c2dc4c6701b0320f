"""The benchmark behind scripts/bench: ftgate beside other ways to do the same work, on this machine only.

Words: a *subject* is what is measured (ftgate behind one of its doors, a peer, nginx, the upstream itself); a *cell* is
one subject under one load; a *round* visits every cell once, so that what else the machine does hits all alike. Nothing
here judges a time.
"""
