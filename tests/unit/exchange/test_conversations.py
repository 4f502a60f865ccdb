"""Conversations as ChatGPT and Claude export them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from secondme.errors import ParseFailed, UnsupportedFormat
from secondme.exchange import recognize
from secondme.memory.store import Store
from tests.exchanging import imported

Json = Any


def node(parent: str | None, *children: str, **message: Json) -> Json:
    return {"parent": parent, "children": list(children), "message": message or None}


def said(role: str, *parts: Json, at: float | None = None, **more: Json) -> Json:
    content = {"content_type": "text", "parts": list(parts)}
    return {"author": {"role": role}, "content": content, "create_time": at, "recipient": "all", **more}


def chatgpt(**more: Json) -> Json:
    """A conversation with all that a real one has: a hidden system message, a tool, an edit that left a branch."""
    mapping = {
        "root": node(None, "sys"),
        "sys": node("root", "q1", id="m-sys", **said("system", "", weight=0)),
        "q1": node("sys", "a1", "a1-old", id="m-q1", **said("user", "When was the tree planted?", at=1_700_000_001.5)),
        "a1-old": node("q1", id="m-old", **said("assistant", "In 1800.", at=1_700_000_002)),
        "a1": node("q1", "tool", id="m-a1", **said("assistant", "Let me look.", at=1_700_000_003)),
        "call": node("a1", id="m-call", **said("assistant", "search()", recipient="browser")),
        "tool": node("a1", "a2", id="m-tool", **said("tool", "a page")),
        "a2": node("tool", "q2", id="m-a2", **said("assistant", "In 1931.", "", at=1_700_000_004)),
        "q2": node(
            "a2",
            "a3",
            id="m-q2",
            author={"role": "user"},
            content={"content_type": "multimodal_text", "parts": [{"asset_pointer": "file://x"}, "And this picture?"]},
        ),
        "hid": node("q2", "a3", id="m-h", **said("user", "x", metadata={"is_visually_hidden_from_conversation": True})),
        "a3": node("hid", id="m-a3", **said("assistant", "A quince.", at=1_700_000_009)),
    }
    return {
        "conversation_id": "c-1",
        "title": "The  tree",
        "create_time": 1_700_000_000.25,
        "update_time": 1_700_000_010,
        "mapping": mapping,
        "current_node": "a3",
    } | more


CHATGPT_TURNS = [
    ("user", "When was the tree planted?"),
    ("assistant", "Let me look."),
    ("assistant", "In 1931."),
    ("user", "And this picture?"),
    ("assistant", "A quince."),
]

CLAUDE: Json = {
    "uuid": "9f0c",
    "name": "",
    "created_at": "2024-05-01T10:00:00.123456Z",
    "updated_at": "2024-05-01T10:05:00+00:00",
    "account": {"uuid": "x"},
    "chat_messages": [
        {
            "uuid": "m1",
            "sender": "human",
            "text": "old form",
            "created_at": "2024-05-01T10:00:01Z",
            "content": [{"type": "text", "text": "Read this"}, {"type": "image"}],
            "attachments": [{"file_name": "a.txt", "extracted_content": "the file's text"}, {"file_name": "b"}],
        },
        {
            "uuid": "m2",
            "sender": "assistant",
            "text": "",
            "created_at": "2024-05-01T10:00:02Z",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "I did."},
                {"type": "tool_use", "name": "x"},
                {"type": "text", "text": "It is short."},
            ],
        },
        {"uuid": "m3", "sender": "human", "text": "Thanks", "created_at": "not a time"},
        {"uuid": "m4", "sender": "assistant", "text": " "},
    ],
}


def write(path: Path, value: Json) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def turns(store: Store) -> list[tuple[str, str]]:
    return [(t.role, t.text) for c in store.conversations() for t in store.turns(c.id)]


def test_chatgpt_the_path_that_was_open_last(store: Store, tmp_path: Path) -> None:
    done = imported(store, write(tmp_path / "conversations.json", [chatgpt()]), project="gpt")
    assert (done.form, done.new.n_conversations, done.new.n_turns) == ("chatgpt", 1, 5)
    assert turns(store) == CHATGPT_TURNS
    (conversation,) = store.conversations("gpt")
    assert (conversation.title, conversation.created_at, conversation.updated_at) == (
        "The tree", 1_700_000_000.25, 1_700_000_010.0,
    )  # fmt: skip
    assert [t.created_at for t in store.turns(conversation.id)][:2] == [1_700_000_001.5, 1_700_000_003.0]


def test_chatgpt_without_the_open_node_the_newest_message_counts(store: Store, tmp_path: Path) -> None:
    imported(store, write(tmp_path / "c.json", [chatgpt(current_node=None)]))
    assert turns(store) == CHATGPT_TURNS


def test_claude_text_blocks_and_attachments(store: Store, tmp_path: Path) -> None:
    done = imported(store, write(tmp_path / "conversations.json", [CLAUDE]))
    assert (done.form, done.new.n_conversations, done.new.n_turns) == ("claude", 1, 3)
    assert turns(store) == [
        ("user", "Read this\n\nthe file's text"),
        ("assistant", "I did.\n\nIt is short."),
        ("user", "Thanks"),
    ]
    (conversation,) = store.conversations()
    assert (conversation.title, conversation.created_at) == ("Conversation", 1714557600.123456)


def test_a_second_import_brings_only_what_is_new(store: Store, tmp_path: Path) -> None:
    imported(store, write(tmp_path / "1.json", [chatgpt()]))
    before = len(store.log())
    again = imported(store, tmp_path / "1.json")
    assert (again.new.n_conversations, again.new.n_turns, again.n_known) == (0, 0, 1)
    assert len(store.log()) == before
    grown = chatgpt(current_node="q3", update_time=1_800_000_000)
    grown["mapping"]["q3"] = node("a3", id="m-q3", **said("user", "And now?", at=1_799_999_999))
    more = imported(store, write(tmp_path / "2.json", [grown, chatgpt(conversation_id="c-2")]))
    assert (more.new.n_conversations, more.new.n_turns, more.n_known) == (1, 6, 1)
    first = next(c for c in store.conversations() if c.n_turns == 6)
    assert (store.turns(first.id)[-1].text, first.updated_at) == ("And now?", 1_800_000_000.0)


def test_where_it_came_from_is_kept(store: Store, tmp_path: Path) -> None:
    imported(store, write(tmp_path / "1.json", [chatgpt()]))
    with store.portable() as portable:
        origins = [item.origin for item in portable.conversations()]
    assert origins[:2] == [{"from": "chatgpt", "id": "c-1"}, {"from": "chatgpt", "id": "m-q1"}]
    assert {op.actor for op in store.log() if op.kind == "imported"} == {"import:chatgpt"}
    assert all(op.digest for op in store.log("conversation:1"))


@pytest.mark.parametrize("inside", ["conversations.json", "export-2024/conversations.json", "conversations-000.json"])
def test_inside_its_archive(store: Store, tmp_path: Path, inside: str) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("user.json", "{}")
        archive.writestr("a/b/conversations.json", "no JSON")
        archive.writestr(inside, json.dumps([chatgpt()]))
    assert imported(store, path).new.n_turns == 5


def test_in_the_folder_it_was_unpacked_to(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    write(folder / "conversations-000.json", [chatgpt()])
    write(folder / "conversations-001.json", [chatgpt(conversation_id="c-2")])
    (folder / "readme.md").write_text("# no vault")
    assert imported(store, folder).new.n_conversations == 2


def test_an_archive_that_grows_without_end_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognize, "MAX_JSON_BYTES", 100_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", b"[" + b" " * 50_000_000)
    with pytest.raises(ParseFailed, match="larger"):
        imported(store, path)


@pytest.mark.parametrize("change", [b"PK\x03\x04", b"PK\x03\x04" + bytes(100)])
def test_a_broken_archive_is_refused(store: Store, tmp_path: Path, change: bytes) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(change)
    with pytest.raises(ParseFailed):
        imported(store, path)


@pytest.mark.parametrize(
    "odd",
    [
        {
            "mapping": {"a": {"parent": "b", "message": None}, "b": {"parent": "a", "message": None}},
            "current_node": "a",
        },
        {"mapping": {"a": 1, "b": None, "c": []}, "current_node": "a"},
        {"mapping": {"a": {"parent": ["x"], "message": {"author": 1, "content": 2}}}},
        {"mapping": {"a": {"message": {"author": {"role": ["user"]}, "content": {"parts": "x"}}}}},
        {"mapping": {"a": node(None, **said("user", "text")) | {"parent": 7}}, "conversation_id": 8},
        {"mapping": {}},
        {"chat_messages": [1, {"sender": ["human"], "text": 3, "content": [[]], "attachments": "x"}], "uuid": "x"},
        {"chat_messages": [{"sender": "human", "text": "t"}], "uuid": {}},
        "text",
        None,
    ],
)
def test_odd_conversations_are_passed_over(store: Store, tmp_path: Path, odd: Json) -> None:
    good = CLAUDE if isinstance(odd, dict) and "chat_messages" in odd else chatgpt()
    assert imported(store, write(tmp_path / "odd.json", [odd, good])).new.n_conversations == 1


@pytest.mark.parametrize("value", [b"[1, 2]", b"[", b"[" * 200_000, b"[{}]", b"\xff[", b"[NaN"])
def test_what_holds_no_conversations_is_refused(store: Store, tmp_path: Path, value: bytes) -> None:
    path = tmp_path / "conversations.json"
    path.write_bytes(value)
    with pytest.raises((UnsupportedFormat, ParseFailed)) as raised:
        imported(store, path)
    assert raised.value.hint
