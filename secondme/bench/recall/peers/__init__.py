"""Other ways to find the turns that answer a question, over the same conversations and vectors.

dialogues.py  conversations as all peers get them     worker.py   the child process
exchange.py   what is said to it                      compare.py  rankings, as rows

bm25s  words alone, with its own stop words and an English stemmer
dense  cosines of our embedder's vectors alone
rrf    both, by reciprocal rank fusion (Cormack et al. 2009)
mem0   mem0ai with `infer=False`, so that no model reads what is stored: our vectors, its own search

A turn is given to each as "Speaker: text" and a question as it is, as published comparisons do. bm25s and mem0ai are
libraries of others in an environment of their own (`make bench PEERS=mem0`). Installed so, without its optional parts,
mem0ai searches by vectors alone: its word search would fetch a model when it is first used. Its telemetry is off.
"""
