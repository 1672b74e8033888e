"""From many files to many files: a plan, its orders, and the proof that they were done.

plan.py makes Orders, work.py runs one, local.py runs them on this machine, ledger.py keeps what came of them. convert
is a plan of one source.
"""

WORKER_VERB = "_work"
