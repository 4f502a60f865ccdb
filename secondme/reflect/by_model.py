"""Claims by the local model, for what rules did not read; in idle time, and only if the owner wants it.

The default model of 135M parameters copies the examples it is shown: of what it proposed for 30 turns nothing was
right, and the check let none of it through. Hence `is_worth_it`.

The model writes JSON that a grammar holds to its form, and a bounded number of claims. It reads, it does not decide:
each claim must follow from a clause of the turn (entail.py), and is then held against what is known like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from secondme.errors import ContextOverflow
from secondme.memory.store import Store
from secondme.reflect.assertions import Assertion, asserted
from secondme.reflect.claims import Claim, Says, unique
from secondme.reflect.entail import means_the_same, source_of
from secondme.reflect.learn import learn_claims
from secondme.reflect.rules import claims_of
from secondme.reflect.slots import same_value
from secondme.reflect.wording import sentence
from secondme.runtime.base import DecodedText, Embedder, Generator, ModelInfo, Sampling
from secondme.text.attributes import canonical
from secondme.text.terms import fold
from secondme.types import OWNER, CancelCheck, Learned, Message, Turn, never_cancelled

PROMPT_VERSION = 1
MOST_CLAIMS = 4
MOST_TOKENS = 200
LONGEST = 1000
"""Characters of a turn; longer ones are rarely about their writer, and cost seconds."""

GRAMMAR = rf"""
root ::= "[]" | "[" claim ("," claim){{0,{MOST_CLAIMS - 1}}} "]"
claim ::= "{{\"who\":\"" word "\",\"what\":\"" word "\",\"value\":\"" word "\",\"says\":\"" says "\"}}"
says ::= "is" | "was" | "no longer"
word ::= [^"\\\n{{}}]{{1,48}}
"""

_SYSTEM = (
    "You read one message and list the lasting facts its writer states, as JSON. who: me, or a name. what: one or two"
    " words. value: words of the message. says: is, was or no longer. If there is none, write []."
)
_EXAMPLES = (
    ("We ended up with a flat in Porto, finally.", '[{"who":"me","what":"home","value":"Porto","says":"is"}]'),
    ("What a day! Can you tell me a joke?", "[]"),
    ("These days Nadia handles the books at Orrin Ltd.",
     '[{"who":"Nadia","what":"employer","value":"Orrin Ltd","says":"is"}]'),
)  # fmt: skip
_SAYS: dict[str, Says] = {"is": "holds", "was": "held", "no longer": "ends"}


def is_worth_it(model: ModelInfo, *, wanted: bool) -> bool:
    """Whether `model` is asked at all: the owner must want it, and a model below 300M parameters invents too much."""
    return wanted and not model.is_small


def learn_by_model(
    store: Store,
    turn: Turn,
    generator: Generator,
    *,
    now: float,
    embedder: Embedder | None = None,
    project: str = "default",
    cancelled: CancelCheck = never_cancelled,
) -> Learned:
    """Make items of what the model reads in the owner's `turn`; what rules read there already is left out.

    Raises Cancelled, ModelError where the generator follows no grammar, and as the store does.
    """
    if turn.role != "user" or turn.speaker or len(turn.text) > LONGEST:
        return Learned()
    known = claims_of(turn.text, turn.created_at)
    if any(claim.kind == "vault" for claim in known):
        return Learned()  # a secret is shown to no model
    found = claims_by_model(turn.text, generator, embedder, known=known, cancelled=cancelled)
    made_by = f"model:{generator.info.fingerprint[:16]}/{PROMPT_VERSION}"
    return learn_claims(store, turn, found, now=now, embedder=embedder, project=project, made_by=made_by)


def claims_by_model(
    text: str,
    generator: Generator,
    embedder: Embedder | None,
    *,
    known: Sequence[Claim] = (),
    cancelled: CancelCheck = never_cancelled,
) -> list[Claim]:
    """Claims that the model makes of `text` and that follow from it, without those `known` already."""
    clauses = asserted(text)
    if not clauses:
        return []
    found = (_checked(raw, text, clauses, embedder) for raw in proposed(text, generator, cancelled=cancelled))
    return unique(c for c in found if c is not None and not any(same_value(c.value, k.value) for k in known))


def proposed(text: str, generator: Generator, *, cancelled: CancelCheck = never_cancelled) -> list[dict[str, str]]:
    """What the model makes of `text`, unchecked: `who`, `what`, `value`, `says`; [] if it does not fit the model."""
    messages = [Message("system", _SYSTEM)]
    for said, answer in _EXAMPLES:
        messages += [Message("user", said), Message("assistant", answer)]
    tokens = generator.chat_tokens([*messages, Message("user", text)])
    try:
        for _ in generator.prefill(tokens, cancelled=cancelled):
            pass
    except ContextOverflow:
        return []
    sampling = Sampling(max_tokens=MOST_TOKENS, grammar=GRAMMAR)
    written = "".join(
        event.text for event in generator.decode(sampling, cancelled=cancelled) if isinstance(event, DecodedText)
    )
    return _parsed(written)


def _parsed(written: str) -> list[dict[str, str]]:
    """The claims of what was written; of what was cut off, those that are whole."""
    cut = written if written.endswith("]") else written[: written.rfind("}") + 1] + "]"
    try:
        rows: Iterable[object] = json.loads(cut if cut.startswith("[") else "[]")
    except ValueError:
        return []
    return [{k: str(v) for k, v in row.items()} for row in rows if isinstance(row, dict)][:MOST_CLAIMS]


def _checked(raw: dict[str, str], text: str, clauses: Sequence[Assertion], embedder: Embedder | None) -> Claim | None:
    who, name = raw.get("who", "").strip(), canonical(raw.get("what", "").strip() or "-")
    value, says = raw.get("value", "").strip(), _SAYS.get(raw.get("says", ""), "holds")
    subject = OWNER if fold(who) in ("me", "i", "my", "owner", "") else fold(who)
    clause = source_of(text, subject, name, value, says, clauses)
    if clause is None:
        return None
    wording = sentence(subject, name, value, says, name=who)
    if embedder is not None and not means_the_same(wording, clause.text, embedder):
        return None
    start = len(text[: clause.first].encode("utf-8", "surrogatepass"))
    end = start + len(text[clause.first : clause.start + len(clause.text)].encode("utf-8", "surrogatepass"))
    return Claim("semantic", name, value, wording, start, end, "model", subject=subject, says=says, name=who)
