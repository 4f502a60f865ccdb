"""What counts as the same text, and what blanking leaves as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.memory.store import Store
from secondme.memory.tombstones import Kind, Place, Tombstones, is_distinct, path_hash, text_hashes, units, wording

SALT = bytes(range(32))
HERE = Place("default", "/notes/a.txt", 7)
LONG = "The heron nests by the third weir every single spring"
SHORT = "PIN 1234"


def of(*texts: str, place: Place = HERE) -> Tombstones:
    hashes: dict[bytes, Kind] = {h: "passage" for t in texts for h in text_hashes(SALT, wording(t), place)}
    return Tombstones(SALT, frozenset(), hashes)


def test_lines_and_sentences_are_units_and_one_that_is_both_comes_once() -> None:
    found = [u.words for u in units("One two. Three four\nfive.\n\n- Six!\n")]
    assert found == ["one two three four", "five", "six", "one two", "three four five", "six"] or found == [
        "one two three four", "five", "six", "one two", "three four five",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        f"Before. {LONG}. After.",
        LONG.upper(),
        LONG.replace(" ", "\n", 3).replace("\n", "  \n", 1),
        f"> **{LONG}!**",
        f"first line\r\n{LONG}\r\nlast line",
    ],
)
def test_a_distinct_sentence_is_blanked_however_it_is_written_and_wherever(text: str) -> None:
    masked = of(LONG).masked(text, Place("other", "/elsewhere", None))
    assert "heron" not in masked.lower() and len(masked.encode()) == len(text.encode())
    assert masked.count("\n") == text.count("\n")


def test_a_short_line_is_blanked_in_its_own_file_only_also_after_that_was_renamed() -> None:
    text = f"{SHORT}\nmilk\n"
    stones = of(SHORT)
    assert stones.masked(text, HERE) == f"{' ' * len(SHORT)}\nmilk\n"
    assert stones.masked(text, Place("default", "/notes/b.txt", 7)) != text
    assert stones.masked(text, Place("default", "/notes/a.txt", None)) != text
    assert stones.masked(text, Place("default", "/notes/b.txt", 8)) == text
    assert stones.masked(text, Place("other", "/notes/a.txt", 8)) == text


def test_scripts_without_spaces_are_counted_by_their_characters() -> None:
    assert is_distinct(wording("鷺は毎年春に三番目の堰のそばに巣を作る"))
    assert not is_distinct(wording("鷺の巣"))
    assert is_distinct(wording("one two three four five six seven eight"))
    assert not is_distinct(wording("one two three four five six seven"))


def test_what_is_lifted_stays() -> None:
    file: Kind = "file"
    passage: Kind = "passage"
    hashes = dict.fromkeys(text_hashes(SALT, wording(LONG), HERE), file)
    stones = Tombstones(SALT, frozenset(), hashes)
    assert stones.masked(LONG, HERE, lifted=[file]) == LONG
    assert stones.masked(LONG, HERE, lifted=[passage]) != LONG
    assert stones.hides(LONG, HERE) and not stones.hides(LONG, HERE, lifted=[file])
    assert stones.found_in([f"x. {LONG}."], HERE, [file]) == frozenset(hashes)
    assert stones.found_in([LONG], HERE, [passage]) == frozenset()


def test_a_path_hides_what_is_below_it_and_nothing_beside_it() -> None:
    stones = Tombstones(SALT, frozenset({path_hash(SALT, "default", "/notes/old")}), {})
    assert stones.hides_path("default", "/notes/old") and stones.hides_path("default", "/notes/old/deep/a.txt")
    assert not stones.hides_path("default", "/notes/older") and not stones.hides_path("default", "/notes")
    assert not stones.hides_path("other", "/notes/old/a.txt")
    assert not stones.hides_path("default", "/notes/old/deep/a.txt", root="/notes/old/deep")
    assert stones.hides_path("default", "/notes/old/deep/a.txt", root="/notes")


texts = st.text(alphabet=st.sampled_from(list("ab .!?\n\r\x0c日é\u00a0\u2028\ud800-_")), max_size=60)


@given(texts, texts)
def test_blanking_keeps_every_offset_and_hides_what_was_forgotten(forgotten: str, rest: str) -> None:
    text = f"{rest}\n\n{forgotten}\n\n{rest}"
    masked = of(forgotten, *(u.words for u in units(forgotten))).masked(text, HERE)
    assert len(masked.encode("utf-8", "surrogatepass")) == len(text.encode("utf-8", "surrogatepass"))
    left = {u.words for u in units(masked)}
    assert not left & {u.words for u in units(forgotten)}


def test_in_the_store_a_passage_outlives_its_file_and_lifting_takes_away(store: Store) -> None:
    from secondme.memory import tombstones

    with store._database.writing() as connection:
        tombstones.bury(connection, [b"1", b"2"], "passage")
        tombstones.bury(connection, [b"1", b"3"], "file")
        tombstones.bury(connection, [b"p"], "path")
    found = store.tombstones()
    assert found.paths == {b"p"}
    assert found.texts == {b"1": "passage", b"2": "passage", b"3": "file"}
    assert len(found.salt) == 32
    assert store.lift([b"3", b"nothing"]) == 1 and store.lift([b"3"]) == 0
    later = store.tombstones()
    assert b"3" not in later.texts and b"1" in later.texts
    assert [op.kind for op in store.log()][-1] == "lifted"
