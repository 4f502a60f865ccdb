"""What is known of the cartridges: a document's keys and values, coded and sealed in a file of their own.

file           its name, 32 hexadecimal digits, below the folder of its project
secret         32 random bytes without which the project's key does not open it: with the row goes the file
source_hash    of the text it was made of
model_key      of the model, prompt and tables it was made with
complete       0 while only the first `n_tokens` tokens of the document are in it
"""

from __future__ import annotations

import apsw

_SCHEMA = """
create table cartridge(
    id integer primary key autoincrement,
    source_id integer not null unique references source(id) on delete cascade,
    file text not null unique,
    secret blob not null,
    source_hash blob not null,
    model_key blob not null,
    tier text not null,
    complete integer not null,
    n_tokens integer not null,
    size_bytes integer not null,
    f16_bytes integer not null,
    prefill_s real not null,
    build_s real not null,
    built_at real not null) strict;
"""


def apply(connection: apsw.Connection) -> None:
    connection.execute(_SCHEMA)
