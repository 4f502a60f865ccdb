"""Export, wipe, import, export: the same bytes, whatever memory holds; and what comes twice changes nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from secondme.exchange import canonical, schema
from secondme.exchange.content import JSONL
from secondme.memory.store import Store
from tests.exchanging import content, exported, fill, imported, numbers, text
from tests.fault.soak import n
from tests.storing import KEY

_SETTINGS = settings(
    max_examples=n(30, 1000), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@given(data=st.data())
@_SETTINGS
def test_export_wipe_import_export_is_byte_identical(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = Store.open(folder / "first.db", KEY)
        fill(first, data)
        counts = exported(first, folder / "1.tar").counts
        first.close()
        written = content(folder / "1.tar")
        _is_valid(written)
        second = Store.open(folder / "second.db", KEY)
        done = imported(second, folder / "1.tar")
        assert (done.new.n_files, done.new.n_passages) == (counts["sources"], counts["memories"])
        assert (done.new.n_conversations, done.new.n_turns) == (counts["conversations"], counts["turns"])
        assert done.new.n_items == counts["items"]
        assert {c.status for c in second.check(read_data=True)} <= {"ok", "warning"}
        assert exported(second, folder / "2.tar").counts == counts
        assert content(folder / "2.tar") == written
        n_steps = len(second.log())
        again = imported(second, folder / "2.tar")
        new = again.new
        assert not any((new.n_files, new.n_conversations, new.n_turns, new.n_links, new.n_items))
        assert len(second.log()) == n_steps
        exported(second, folder / "3.tar")
        assert content(folder / "3.tar") == written
        second.close()


def _is_valid(written: dict[str, bytes]) -> None:
    """Each line is canonical and what the schema in the export says."""
    for name in JSONL:
        assert written[f"schemas/{name}.schema.json"] == schema.schema_bytes(name)
        for line in written[f"{name}.jsonl"].splitlines():
            assert schema.fits(canonical.loads(line), name), line


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | text,
    lambda v: st.lists(v) | st.dictionaries(st.sampled_from(["b", "a", "\udcff", "\U0001f600", ""]), v),
)


@given(_values)
@settings(max_examples=n(100, 2000), deadline=None)
def test_canonical_json_comes_back(value: object) -> None:
    line = canonical.dumps(value)
    assert b"\n" not in line
    assert canonical.dumps(canonical.loads(line)) == line
