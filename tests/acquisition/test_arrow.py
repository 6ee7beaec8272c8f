import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import EmptyPool, Pool, select
from overread_learn.acquisition.arrow import open_pool, write

RNG = np.random.default_rng(0)
NAMES = [f"c{index:04}" for index in range(5000)]
LOGITS = [RNG.normal(size=(int(m), 3)).astype(np.float32) for m in RNG.integers(1, 9, len(NAMES))]
EMBEDDINGS = RNG.normal(size=(len(NAMES), 4))


def same(opened: Pool, *, embeddings: NDArray[np.floating] | None) -> None:
    assert list(opened.ids) == NAMES
    for index, own in enumerate(LOGITS):
        assert np.array_equal(opened.of_candidate(index), own)
    if embeddings is None:
        assert opened.embeddings is None
    else:
        assert opened.embeddings is not None
        assert np.array_equal(opened.embeddings, embeddings)


def table(path: Path) -> Any:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, None])
def test_what_was_written_is_opened(tmp_path: Path, kind: type[np.floating] | None) -> None:
    path = tmp_path / "pool.arrow"
    embeddings = None if kind is None else EMBEDDINGS.astype(kind)
    # Iterators: nothing is asked for twice, or for its length.
    write(path, iter(NAMES), iter(LOGITS), None if embeddings is None else iter(embeddings))
    opened = open_pool(path)
    assert opened.logits.dtype == np.float32
    same(
        opened,
        embeddings=embeddings.astype(np.float32) if kind is np.float64 and embeddings is not None else embeddings,
    )
    # Views of the file: nothing of ours to write to.
    assert not opened.logits.flags.writeable
    assert [each.name for each in tmp_path.iterdir()] == ["pool.arrow"]


def test_embeddings_are_of_one_type(tmp_path: Path) -> None:
    """In float16, which the first one has, the second would be infinite."""
    mixed = [np.ones(4, np.float16), np.full(4, 1e5, np.float32)]
    with pytest.raises(ValueError, match="candidate b: an embedding is float32, the first is float16"):
        write(tmp_path / "pool.arrow", ["a", "b"], LOGITS[:2], mixed)
    assert list(tmp_path.iterdir()) == []


def test_what_is_known_of_the_labelled_comes_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "pool.arrow", NAMES, LOGITS, EMBEDDINGS)
    opened = open_pool(tmp_path / "pool.arrow", labelled=EMBEDDINGS[:3], counts={0: 2, 1: 1})
    assert np.array_equal(np.asarray(opened.labelled), EMBEDDINGS[:3])
    assert opened.counts == {0: 2, 1: 1}


@pytest.mark.parametrize("name", ["sum@.25", "margin+badge", "typiclust"])
def test_it_is_selected_from_like_a_pool_in_memory(tmp_path: Path, name: str) -> None:
    write(tmp_path / "pool.arrow", NAMES, LOGITS, EMBEDDINGS.astype(np.float32))
    counts = {0: 1, 1: 1, 2: 1}
    held = Pool.of(NAMES, LOGITS, embeddings=EMBEDDINGS.astype(np.float32), counts=counts)
    opened = open_pool(tmp_path / "pool.arrow", counts=counts)
    assert select(opened, name, 7, seed=1, k_ref_m=8) == select(held, name, 7, seed=1, k_ref_m=8)


def written(path: Path, content: Any, how: str) -> Path:
    """Write a table as somebody else would."""
    if how == "parquet":
        pq.write_table(content, path, row_group_size=1700)
        return path
    options = pa.ipc.IpcWriteOptions(compression="zstd" if "compressed" in how else None)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, content.schema, options=options) as writer:
        writer.write_table(content, max_chunksize=999 if "batches" in how else None)
    return path


@pytest.mark.parametrize("how", ["parquet", "batches", "compressed", "compressed batches"])
@pytest.mark.parametrize("embedded", [True, False])
def test_other_files_become_one_that_can_be_mapped(tmp_path: Path, how: str, *, embedded: bool) -> None:
    embeddings = EMBEDDINGS.astype(np.float16) if embedded else None
    write(tmp_path / "own.arrow", NAMES, LOGITS, embeddings)
    content = table(tmp_path / "own.arrow").combine_chunks()
    # 32-bit offsets and strings, and a column that is nobody's business.
    content = content.set_column(1, "logits", content["logits"].cast(pa.list_(pa.float32())))
    content = content.set_column(0, "id", content["id"].cast(pa.string()))
    content = content.append_column("patient", pa.array([None] * len(NAMES), pa.string()))
    path = written(tmp_path / "other", content, how)
    same(open_pool(path), embeddings=embeddings)
    # The rewritten file has gone already; its numbers stay with the pool.
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "own.arrow"]


def test_a_slice_of_a_table_is_a_pool_too(tmp_path: Path) -> None:
    write(tmp_path / "own.arrow", NAMES, LOGITS, EMBEDDINGS.astype(np.float16))
    for how in ("parquet", "batches", "one batch"):
        opened = open_pool(written(tmp_path / "part", table(tmp_path / "own.arrow").slice(1234, 2000), how))
        assert opened.ids[0] == NAMES[1234]
        assert np.array_equal(opened.of_candidate(1999), LOGITS[3233])
        assert opened.embeddings is not None
        assert np.array_equal(opened.embeddings[1999], EMBEDDINGS[3233].astype(np.float16))


ID, TWO = pa.array(["a", "b"]), pa.array([[0.0, 1.0], [1.0, 2.0, 3.0, 4.0]], pa.list_(pa.float32()))


@pytest.mark.parametrize("how", ["parquet", "one batch", "batches"])
@pytest.mark.parametrize(
    ("columns", "classes", "complaint"),
    [
        ({"id": ID, "scores": TWO}, "2", "has the columns id, logits and perhaps embedding; this has id, scores"),
        ({"id": pa.array([1, 2]), "logits": TWO}, "2", "column id must be strings, not int64"),
        ({"id": pa.array(["a", None]), "logits": TWO}, "2", "column id has nulls"),
        ({"id": pa.array(["a", "a"]), "logits": TWO}, "2", "ids repeat"),
        ({"id": ID, "logits": pa.array([0.5, 0.1])}, "2", "column logits must be lists of floats.*not double"),
        ({"id": ID, "logits": pa.array([[1, 2], [3, 4]])}, "2", "column logits must be lists of floats.*int64"),
        ({"id": ID, "logits": pa.array([[[1.0, 2.0]], [[3.0, 4.0]]])}, "2", "column logits must be lists of floats"),
        ({"id": ID, "logits": pa.array([[1.0, None], [0.0, 1.0]])}, "2", "column logits has nulls"),
        ({"id": ID, "logits": pa.array([[1.0, 2.0], None])}, "2", "column logits has nulls"),
        ({"id": ID, "logits": pa.array([[1.0, 2.0], []], pa.list_(pa.float32()))}, "2", "candidate b: 0 logits"),
        ({"id": ID, "logits": TWO}, "3", "candidate a: 2 logits are not patches of 3 classes"),
        ({"id": ID, "logits": TWO}, None, "metadata must say 'classes'"),
        ({"id": ID, "logits": TWO}, "two", "metadata must say 'classes'.*'two'"),
        ({"id": ID, "logits": TWO}, "1", "metadata must say 'classes'"),
        ({"id": ID, "logits": TWO, "embedding": TWO}, "2", "column embedding must be fixed-size lists"),
        ({"id": ID[:0], "logits": TWO[:0]}, "2", "no candidate"),
    ],
)
def test_files_that_are_no_pool(
    tmp_path: Path, how: str, columns: dict[str, Any], classes: str | None, complaint: str
) -> None:
    content = pa.table(columns).replace_schema_metadata(None if classes is None else {"classes": classes})
    path = written(tmp_path / "pool", content, how)
    with pytest.raises(ValueError, match=rf"pool: .*{complaint}"):
        open_pool(path)
    assert [each.name for each in tmp_path.iterdir()] == ["pool"]


@pytest.mark.parametrize("how", ["parquet", "one batch", "batches"])
@pytest.mark.parametrize("twice", ["id", "logits", "score"])
def test_a_column_that_stands_twice_is_named(tmp_path: Path, how: str, twice: str) -> None:
    columns = {"id": ID, "logits": TWO, "score": pa.array([0.5, 0.1])}
    names = [*columns, twice]
    content = pa.table([columns[name] for name in names], names=names).replace_schema_metadata({"classes": "2"})
    with pytest.raises(ValueError, match=f"pool: of a column there is one, and {twice} stands there twice"):
        open_pool(written(tmp_path / "pool", content, how))


@pytest.mark.parametrize("content", [b"", b"id,logits\n", b"ARROW1\0\0 and no more", b"PAR1 and no more"])
def test_files_that_are_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pool").write_bytes(content)
    with pytest.raises(ValueError, match=r"pool: "):
        open_pool(tmp_path / "pool")
    with pytest.raises(FileNotFoundError):
        open_pool(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("ids", "logits", "embeddings", "complaint"),
    [
        ([], [], None, "no candidate"),
        (["a", "b"], [np.zeros((2, 2))], None, "shorter"),
        (["a"], [np.zeros((2, 2))] * 2, None, "longer"),
        (["a"], [np.zeros((2, 2))], np.zeros((2, 3)), "longer"),
        (["a", "b"], [np.zeros((2, 2)), np.zeros((2, 3))], None, r"candidate b: logits are \(2, 3\)"),
        (["a", "b"], [np.zeros((2, 2)), np.zeros((0, 2))], None, r"candidate b: logits are \(0, 2\)"),
        (["a"], [np.zeros(2)], None, r"candidate a: logits are \(2,\)"),
        (["a"], [np.zeros((2, 1))], None, "classes >= 2"),
        (["a"], [np.zeros((2, 2))], [np.zeros((1, 3))], r"candidate a: an embedding is"),
        (["a", "b"], [np.zeros((2, 2))] * 2, [np.zeros(3), np.zeros(4)], "candidate b: an embedding is"),
        (["a", "b"], [np.zeros((2, 2)), np.full((2, 2), 1e308)], None, "candidate b: a logit is beyond 3.4e"),
        (["a"], [np.full((2, 2), np.nan)], None, "candidate a: a logit is not finite"),
        (["a"], [np.zeros((2, 2))], np.full((1, 3), -1e39), "candidate a: an embedding is beyond 3.4e"),
    ],
)
def test_what_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, ids: list[str], logits: list[Any], embeddings: Any, complaint: str
) -> None:
    (tmp_path / "pool.arrow").write_text("before")
    with pytest.raises(ValueError, match=complaint):
        write(tmp_path / "pool.arrow", ids, logits, embeddings)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


def test_an_empty_pool_has_its_own_error(tmp_path: Path) -> None:
    empty = pa.table({"id": ID[:0], "logits": TWO[:0]}).replace_schema_metadata({"classes": "2"})
    for how in ("parquet", "one batch"):
        with pytest.raises(EmptyPool, match="pool: "):
            open_pool(written(tmp_path / "pool", empty, how))


CHILD = """
import resource, sys
from pathlib import Path
import numpy as np
from overread_learn.acquisition import select
from overread_learn.acquisition.arrow import open_pool

np.ones((300, 300)) @ np.ones((300, 300))  # BLAS takes its working memory with its first product, once and for all
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
held = 1024 * int(status["VmData"].split()[0])  # private memory, without mapped files
resource.setrlimit(resource.RLIMIT_DATA, (held + int(sys.argv[2]),) * 2)
pool = open_pool(Path(sys.argv[1]), counts={0: 1, 1: 1})
for name in sys.argv[3:]:
    print(*(pick.id for pick in select(pool, name, 3, seed=0, k_ref_m=250)))
for array in (pool.logits, pool.embeddings):
    try:
        print("copied", np.array(array).nbytes)
    except MemoryError:
        print("too large")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone bounds a process's private memory without its maps")
def test_a_pool_larger_than_memory(tmp_path: Path) -> None:
    count, patches, width, allowed = 50_000, 250, 768, 56_000_000
    base = RNG.normal(size=(100, patches, 2)).astype(np.float32)
    # The last is the least sure, and the farthest out.
    logits = (base[index % 100] * (2 - index / count) for index in range(count))
    embeddings = (np.full(width, index % 7, np.float16) for index in range(count))
    write(tmp_path / "pool.arrow", (f"c{index:06}" for index in range(count)), logits, embeddings)
    assert (tmp_path / "pool.arrow").stat().st_size > count * (patches * 8 + width * 2) > 3 * allowed
    strategies = ["entropy", "sum@.25", "margin+badge", "random"]
    asked = [sys.executable, "-c", CHILD, str(tmp_path / "pool.arrow"), str(allowed), *strategies]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [len(line.split()) for line in lines[:4]] == [3] * 4
    assert all(int(name[1:]) > 0.9 * count for name in lines[0].split())
    # And nobody could have held it.
    assert lines[4:] == ["too large", "too large"]
