"""kvpress beside our tiers: its methods of dropping tokens, on the same model, documents and questions.

exchange.py  what is said to the child process      worker.py    the child process
presses.py   kvpress's methods                      quantize.py  four bits a value, ideal bytes
ask.py       questions over any cache               compare.py   what comes back, as rows

kvpress needs torch, so it has an environment of its own (`make bench PEERS=kvpress`), and its Python runs the worker.
To compare bytes, each method gets what it has not: four bits a value by the better of two ways, an entropy coder that
reaches the entropy itself with free tables, and the prefix before the document free and exact. It then keeps as many
tokens as fit into the bytes that our tier took for the same document.
"""
