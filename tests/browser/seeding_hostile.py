"""Fill a session with hostile text in every place that holds text: `python seeding_hostile.py FOLDER`.

What the other seedings write, and then each text of each table gets a payload: names one that is short, and
texts the whole corpus. Equal texts get equal payloads, so what belongs together still does. A new table, or a
new column, is hostile without a word here, unless it is one of those that only a program writes.
"""

from __future__ import annotations

import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parent))
import seeding
import seeding_agreement
import seeding_arena
import seeding_checkpoints
import seeding_elo
import seeding_pairs
import seeding_training

from pipeline import constitution
from pipeline.events import EventLog
from pipeline.records import Constitution
from studio.jobs.ingest import ingest
from studio.store import runs
from studio.store.database import Store
from studio.store.migrate import FILE

BEACON = "http://beacon.test"
TURNED = "\u202e"  # right-to-left override: what follows it is shown backwards
CORPUS = (
    "<script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>",
    f'"\'><svg/onload=window.owned=1><img src="{BEACON}/a">',
    f"<style>@import '{BEACON}/b';*{{background:url({BEACON}/c)}}</style>",
    f"![beacon]({BEACON}/d) [click](javascript:window.owned=1)",
    "<iframe src='data:text/html,<script>parent.owned=1</script>'></iframe>",
    f"<form action={BEACON}/e><button>Go</button></form><a href={BEACON}/f ping={BEACON}/g>go</a>",
    f"<link rel=stylesheet href={BEACON}/h><base href={BEACON}><meta http-equiv=refresh content=0;{BEACON}>",
    f"<object data={BEACON}/i></object><video src={BEACON}/j autoplay></video><math><mi xlink:href=x>",
    "{{7*7}} ${window.owned=1} %{x} </textarea></title></script><script>window.owned=1</script>",
    "<details open ontoggle=window.owned=1>x</details><b style='position:fixed;inset:0'>over</b>",
    "\u202eesrever\u2066isolated\u200b\u200d\ufeff\u2069\u2069 שלום مرحبا",
)
NAMES = (
    f"{TURNED}<img src=x onerror=window.owned=1>",
    f"{TURNED}\"'><svg onload=window.owned=1>",
    f"{TURNED}<a href={BEACON}/n>go</a>",
    f"{TURNED}</script><script>owned=1</script>",
    f"{TURNED}\u2069\u202c=cmd|calc!A0 ![]({BEACON}/m)",
    f"{TURNED}'-window.owned=1-'</title>",
)

# Only programs write these, and others go by what they hold.
IDS = {
    *("id", "seq", "version", "parent", "chain", "turn", "conversation", "battle", "pair", "run", "turns"),
    *("prompt_id", "constitution", "left_turn", "right_turn", "grouping", "ranking", "stage", "kind", "file"),
    *("device", "time", "action", "key", "value", "name_of", "principle", "form", "cluster", "pm", "body"),
    *("content", "config", "data", "started", "origin", "sha256"),
}
TEXTS = {"text", "detail", "note", "response_a", "response_b", "rationale_ab", "rationale_ba", "prompt_text"}
MODELS = {"model", "critic", "judge", "name", "model_a", "model_b", "annotator"}
JSON = {
    "messages": ("content",),
    "source_a": ("name", "form"),
    "source_b": ("name", "form"),
    "chatting": ("system",),
}


def name(text: str) -> str:
    """A name with a payload before it, always the same for the same name."""
    return f"{NAMES[zlib.crc32(text.encode()) % len(NAMES)]}{text}" if text else text


def long(text: str) -> str:
    """A text with the corpus after it."""
    return f"{text} {' '.join(CORPUS)}"


def fill(folder: Path) -> None:
    """Everything that pages show, hostile."""
    load = constitution.load
    constitution.load = lambda path: hostile(load(path))  # type: ignore[assignment, misc]
    seeding.fill(folder, 6)
    seeding_agreement.fill(folder)
    seeding_pairs.fill(folder, 6)
    seeding_training.fill(folder)
    seeding_arena.fill(folder)
    for one in ("SL", "JUDGE", "RL"):  # runs of their own, beside those of the chat
        setattr(seeding_elo, one, getattr(seeding_elo, one).replace("-00000000010", "-00000000070"))
    seeding_elo.fill(folder, 8)
    _events(folder)
    _rows(folder)


def hostile(plain: Constitution) -> Constitution:
    """The constitution with hostile texts in each of its fields that take any."""
    return replace(
        plain,
        name=name(plain.name),
        description=long(plain.description),
        principles=tuple(
            replace(
                one,
                title=name(one.title),
                tags=tuple(map(name, one.tags)),
                **{
                    field: long(text)
                    for field in ("critique_request", "revision_request", "comparison")
                    if (text := getattr(one, field))
                },
            )
            for one in plain.principles
        ),
    )


def _events(folder: Path) -> None:
    """What the run of a training says: figures, samples, what it closed with; and its log."""
    store = Store.open(folder)
    run = runs.load(store, seeding_checkpoints.RL)
    assert run
    at = folder / "runs" / run.id
    with EventLog(at / "events.jsonl") as log:
        log.emit("started", done=0, total=20)
        part = {"noun": name("part"), "done": 1, "total": 2, "eta_s": 9.0}
        log.emit("progress", done=0, part=part, tokens_per_second=None, eta_s=None)
        for step in range(1, 21):
            figures = {"loss": 1 / step, "reward": step / 9, "kl": step / 99, name("odd"): 0.5}
            log.emit("metric", step=step, values=figures)
        for step in (0, 20):
            log.emit("sample", step=step, fixed=0, prompt=long("Asked."), text=long(f"Said at {step}."))
        log.emit("skipped", prompt=name("p"), reason=long("Too long."))
        said = {"accuracy": {"value": 0.6, "low": "<b>", "high": [1], "n": long("n")}}
        log.emit("finished", status="done", done=20, **{name("set"): said, "pairs": NAMES[0]})
    (at / "worker.log").write_text("\n".join(CORPUS), encoding="utf-8")
    ingest(store, run, at)
    store.close()


def _rows(folder: Path) -> None:
    with duckdb.connect(str(folder / FILE)) as con:
        columns = con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() "
            "SEMI JOIN duckdb_tables() USING (table_name) "
            "WHERE data_type = 'VARCHAR' AND table_name <> 'migrations' EXCEPT "
            "SELECT table_name, unnest(constraint_column_names) FROM duckdb_constraints() "
            "WHERE constraint_type = 'CHECK' ORDER BY ALL"
        ).fetchall()
        for table, column in columns:
            if column in IDS:
                continue
            every = f'SELECT DISTINCT "{column}" FROM {table} WHERE "{column}" <> \'\''  # noqa: S608
            texts = con.execute(every).fetchall()
            for (text,) in texts:
                change = f'UPDATE {table} SET "{column}" = ? WHERE "{column}" = ?'  # noqa: S608
                con.execute(change, [_hostile(column, text), text])


def _hostile(column: str, text: str) -> str:
    if column in JSON:
        return json.dumps(_inside(json.loads(text), JSON[column]))
    if column in MODELS and "/" in text:  # the folder of a run, which is looked up
        return text
    if TURNED in text[:2]:  # of the constitution, which is hostile already
        return text
    return long(text) if column in TEXTS else name(text)


def _inside(data: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(data, list):
        return [_inside(item, keys) for item in data]
    change = name if "name" in keys else long
    return {key: change(value) if key in keys and value else value for key, value in data.items()}


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
