"""Fields of words that talk to an assistant about its memory is made of, however it is phrased.

Patterns know phrases; fields know what is spoken of. A sentence that speaks of several of these at once, such as of a
question, of an answer and of what shall stand in the place of what, is rarely about anything else. On a
thousand turns and paragraphs of development data they suspect less than one in a hundred.
"""

from __future__ import annotations

import re

from secondme.text.instruction_patterns import THIRD_PARTIES

_WORDS = {
    "helper": """
        assistant assistants ai ais bot bots chatbot chatbots llm llms agent agents helper helpers machine
        machines assistent assistenten asistente assistente l'assistant l'assistente""",
    "person": """
        user user's users owner owner's owners principal nutzer benutzer l'utilisateur utilisateur usuario utente""",
    "asking": """
        ask asks asked asking question questions query queries request requests inquiry inquiries prompt prompts
        input mentioned discussed raised sought fragt demande pregunta preguntan chiedono perguntarem""",
    "telling": """
        answer answers answering reply replies respond response responses say says quote print name mention
        state tell give output recommend suggest present repeat cite return show display use antworte antworten
        reponds recommander responde rispondi""",
    "memory": """
        memory memories record records entry entries index profile fact facts note notes store stores stored
        save saved remember remembers remembered forget learned register registry lookup lookups retrieve
        retrieved knowledge database gedachtnis memoire memoria""",
    "instead": """
        instead replace replaces replaced renamed transferred moved merged retired outdated mistake mistakes
        mistaken erratum correction corrections corrected wrong compromised invalid obsolete void supersede
        superseded earlier previous previously former formerly alias stale expired withdrawn revoked anterior
        anteriores""",
    "force": """
        always never must only until without duty shall henceforth whenever disregard ignore treat immer
        toujours siempre sempre desormais""",
}
_PHRASES = {
    "helper": ("language model", "chat bot", "ai companion", "copilot"),
    "person": ("account holder", "person you", "your human"),
    "asking": ("want to know", "wants to know", "come up", "comes up", "brought up", "bring up", "looked for"),
    "telling": ("hand over", "read out", "read aloud", "speak of", "bring up", "finish with"),
    "memory": ("look up", "looked up", "on file", "data base"),
    "instead": ("took over", "takes over", "no longer", "has to read", "the same", "in place of", "in the place of",
                "rather than"),
    "force": ("has to", "have to", "do not", "don't", "not be", "no need", "any further", "from now on", "from here on",
              "from today on", "every time", "each time", "at all times", "without exception", "pay no heed", "act as",
              "nothing else"),
}  # fmt: skip
_FIELDS = {name: frozenset(words.split()) for name, words in _WORDS.items()}
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

_WORTH = 0.2
_LEAST = 0.4
_TALK = frozenset({"helper", "person", "asking", "telling", "instead", "memory"})
_SPEAKING = _FIELDS["telling"] - frozenset("tell give suggest return show display use".split())


def _fields(said: frozenset[str], reading: str) -> frozenset[str]:
    return frozenset(
        name
        for name, words in _FIELDS.items()
        if not said.isdisjoint(words) or any(phrase in reading for phrase in _PHRASES[name])
    )


def talks_to_assistant(reading: str, signs: float, suspect: float) -> bool:
    """Whether a sentence tells an assistant what to answer or to remember; `signs` is what its patterns add up to.

    Either it speaks of three fields, two of them of asking, telling and remembering, and the fields and the signs reach
    `suspect` together; or it is about an assistant and two more; or an order that names a question or an exception, and
    how to speak. What is about customers, patients and the like is none of it.
    """
    said = frozenset(_WORD.findall(reading))
    fields = _fields(said, reading)
    if not fields & {"helper", "person"} and THIRD_PARTIES.search(reading):
        return False
    if len(fields) >= 3 and len(fields & _TALK) >= 2 and signs + _WORTH * len(fields) >= suspect - 1e-9:
        return True
    is_order = signs >= _LEAST - 1e-9
    if "helper" in fields:
        return len(fields) >= 3 or (len(fields) == 2 and is_order)
    return (
        is_order
        and bool(fields & {"asking", "force"})
        and bool(said & _SPEAKING or any(phrase in reading for phrase in _PHRASES["telling"]))
    )
