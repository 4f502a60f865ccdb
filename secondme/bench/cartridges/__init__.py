"""`secondme bench cartridges`: what a document's cache costs compressed, and what the model still knows with it.

facts.py      invented facts                     prompts.py  how document and question stand in a prompt
documents.py  texts with facts and questions     metrics.py  KL, answers, recalled facts
judge.py      one cache beside the full one
"""
