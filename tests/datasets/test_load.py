import gzip
import io
import json
import os
import tracemalloc
import warnings
import zipfile

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from sklearn_uniroute.datasets import load_routing_data
from tests.damage import load_damaged

ARRAYS = {
    "X": np.arange(8, dtype=np.float16).reshape(4, 2),
    "y": np.array([[1, 0], [0, np.nan], [1, 1], [0, 0.5]], dtype=np.float32),
    "costs": np.array([1, 2], dtype=np.float32),
    "models": np.array(["small", "large"]),
    "source": np.array(["a", "a", "b", "b"]),
    "cost_unit": np.array("USD"),
}
LONG = pd.DataFrame(
    {
        "prompt_id": ["p", "p", "q", "r", "r"],
        "model": ["small", "large", "large", "small", "large"],
        "quality": [1.0, 0.0, 0.5, 0.0, 1.0],
        "cost": [1, 9, 8, 2, 7],
    }
)
WIDE = pd.DataFrame(
    {
        "prompt_id": ["p", "q", "r"],
        "prompt": ["one", "two", "three"],
        "source": ["s", "s", "t"],
        "small": [1.0, np.nan, 0.0],
        "large": [0.0, 0.5, 1.0],
        "large|cost": [9, 8, 7],
        "small|cost": [1, np.nan, 2],
    }
)
QUALITY = [[1, 0], [np.nan, 0.5], [0, 1]]
COSTS = [[1, 9], [np.nan, 8], [2, 7]]


def save(folder, **changes):
    arrays = {name: value for name, value in {**ARRAYS, **changes}.items() if value is not None}
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def write(folder, table, suffix=".csv"):
    path = folder / f"data{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return path


def test_npz(tmp_path):
    data = load_routing_data(save(tmp_path))
    assert data.X.dtype == np.float32
    assert data.y.dtype == np.float32
    for name in ("X", "y", "costs", "models", "source"):
        np.testing.assert_array_equal(data[name], ARRAYS[name])
    assert data.cost_unit == "USD"
    assert data.prompts is None


def test_npz_with_the_texts_beside_it(tmp_path):
    path = save(tmp_path)
    with gzip.open(tmp_path / "data.prompts.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"id": i, "text": f"text {i}"}) + "\n" for i in range(4))
    assert load_routing_data(str(path)).prompts.tolist() == [f"text {i}" for i in range(4)]


def test_npz_without_what_is_optional(tmp_path):
    data = load_routing_data(save(tmp_path, costs=None, source=None, cost_unit=None))
    assert (data.costs, data.source, data.cost_unit) == (None, None, "cost")


def test_real_files(real_path):
    data = load_routing_data(real_path)
    with np.load(real_path) as arrays:
        np.testing.assert_array_equal(data.y, arrays["y"])
        np.testing.assert_array_equal(data.X, arrays["X"])
    assert len(data.prompts) == len(data.X)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("table", [LONG, WIDE], ids=["long", "wide"])
def test_tables(tmp_path, table, suffix):
    data = load_routing_data(write(tmp_path, table, suffix))
    assert data.models.tolist() == ["small", "large"]
    np.testing.assert_array_equal(data.y, QUALITY)
    np.testing.assert_array_equal(data.costs, COSTS)
    assert data.X is None
    if table is WIDE:
        assert data.prompts.tolist() == ["one", "two", "three"]
        assert data.source.tolist() == ["s", "s", "t"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_embeddings_in_columns(tmp_path, suffix):
    X = np.arange(24.0).reshape(2, 12)
    # In any order, and repeated for each row of a prompt.
    columns = {f"x{number}": X[[0, 0, 1], number] for number in reversed(range(12))}
    table = LONG.iloc[:3].assign(**columns)
    np.testing.assert_array_equal(load_routing_data(write(tmp_path, table, suffix)).X, X)
    wide = WIDE.iloc[[0, 2]].assign(**{name: values[1:] for name, values in columns.items()})
    np.testing.assert_array_equal(load_routing_data(write(tmp_path, wide, suffix)).X, X)


def test_embeddings_in_lists(tmp_path):
    rows = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    wide = WIDE.assign(embedding=rows)
    np.testing.assert_array_equal(load_routing_data(write(tmp_path, wide, ".parquet")).X, rows)
    long = LONG.assign(embedding=[rows[i] for i in (0, 0, 1, 2, 2)])
    np.testing.assert_array_equal(load_routing_data(write(tmp_path, long, ".parquet")).X, rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, r"data.npz: it has no array\(s\) 'y'; it has 'X'"),
        ({"models": np.array(["a", "a"])}, "`models` names 'a' more than once"),
        ({"models": np.array([1, 2])}, "`models` must be an array of strings .*; got dtype int64"),
        ({"models": np.array(["a"])}, "`y` has 2 columns but `models` has 1 names"),
        (
            {"models": np.array([None, "a"])},
            "array 'models' cannot be read: this array holds objects",
        ),
        ({"X": ARRAYS["X"][:3]}, "`X` has shape .3, 2. but `y` has 4 rows"),
        ({"X": ARRAYS["X"] * np.nan}, "`X` is nan in row 0, column 0"),
        ({"source": np.array(["a"])}, r"`source` has shape \(1,\) but `y` has 4 rows"),
        ({"source": np.array("a")}, r"`source` has shape \(\) but `y` has 4 rows"),
        ({"y": ARRAYS["y"][0]}, "`y` must be of shape"),
        ({"y": ARRAYS["y"] * [1, np.nan]}, r"no observed quality for model\(s\) 'large'"),
        ({"y": ARRAYS["y"] + [0, np.inf]}, "`y` is infinite for model 'large' in row 0"),
        ({"costs": [1, 2, 3]}, "`costs` has 3 entries"),
        ({"costs": [1, -2]}, "got -2.0 for model 'large'"),
    ],
)
def test_wrong_npz(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_routing_data(save(tmp_path, **changes))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (LONG.assign(quality=["1", "0", "good", "0", "1"]), "'quality' is not a number in row 2 "),
        (LONG.assign(cost=["1", "x", "y", "0", "1"]), "'cost' is not a number in row 1 .* 1 more"),
        (LONG.assign(cost=[1, -9, 8, 2, 7]), "'cost' is negative in row 1 "),
        (
            LONG.assign(cost=[1, np.nan, np.nan, 2, np.nan]),
            r"no recorded cost for .* 'large'",
        ),
        (LONG.assign(cost=[1, 9, 8, np.inf, 7]), "column 'cost' is infinite in row 3"),
        (
            LONG.assign(embedding="[1, 2]"),
            "column 'embedding' holds text; expected lists, which need",
        ),
        (LONG.assign(x0=1, x2=2), "must be x0 to x1 without a gap; missing: 'x1'"),
        (
            LONG.rename(columns={"prompt_id": "id"}),
            "'model' cannot be models; a long table needs",
        ),
        (LONG.iloc[[0, 1, 1]], "column 'model' repeats a model on the same prompt in row 2"),
        (LONG.assign(model=["a", None, "b", "a", "b"]), "column 'model' is empty in row 1"),
        (LONG.assign(prompt_id=["p", "p", None, "q", "q"]), "'prompt_id' is empty in row 2"),
        (LONG.assign(x0=[1, 2, 3, 4, 4]), "'x0' differs from an earlier row .* in row 1"),
        (LONG.assign(quality=np.inf), "column 'quality' is infinite in row 0"),
        (LONG.iloc[:0], "this table has no rows"),
        (
            WIDE.assign(large="right"),
            r"column 'large' is not a number in row 0 \('right'\), and in 2",
        ),
        (WIDE.drop(columns="large|cost"), r"column\(s\) 'large', read as models, have no cost"),
        (
            WIDE.assign(latency=1),
            r"column\(s\) 'latency', read as models, have no cost column",
        ),
        (WIDE.assign(**{"Unnamed: 0": 1}), "'Unnamed: 0' cannot be models; .* without its index"),
        (LONG.rename(columns={"quality": "score"}), "'model' cannot be models; a long table needs"),
        (
            WIDE.drop(columns="large"),
            r"column\(s\) 'large.cost' hold costs of models that have no quality",
        ),
        (WIDE.assign(prompt_id=["p", "q", "p"]), "'prompt_id' repeats an earlier .* row 2 .'p'"),
        (WIDE.assign(**{"small |cost": 1.0}), r"the header repeats column\(s\) 'small.cost'"),
        (WIDE.assign(**{"small|total_cost": 1.0}), "hold costs of one model"),
        (WIDE.assign(**{" small": 1.0}), r"the header repeats column\(s\) 'small'"),
        (WIDE.assign(x0=[1, np.nan, 2]), "'x0' is empty or not finite in row 1"),
        (LONG.assign(model=["small", "large", "small", "large ", "small"]), "'large' and 'large '"),
        (LONG.assign(prompt_id=["p", "p", "p ", "q", "q"]), "'prompt_id' has 'p' with and without"),
        (WIDE[["prompt_id", "prompt"]], "no column names a model; .* 'prompt_id', 'prompt'"),
        (WIDE.assign(small=np.nan), r"no observed quality for model\(s\) 'small'"),
    ],
)
def test_wrong_tables(tmp_path, table, message):
    with pytest.raises(ValueError, match=f"data.csv: .*{message}"):
        load_routing_data(write(tmp_path, table))


def test_lists_of_different_length(tmp_path):
    table = WIDE.assign(embedding=[[1.0], [2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match=r"column 'embedding' differs in length .* in row 2"):
        load_routing_data(write(tmp_path, table, ".parquet"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.npz", b"no archive", "this is no .npz file"),
        ("data.parquet", b"no table", "pandas cannot read this table"),
        ("data.csv", b"", "this table is empty"),
        ("data.csv", b"\xff\xfe\x00", "pandas cannot read this table"),
        ("data.txt", b"", "expected a file that ends in .npz, .parquet, or in"),
    ],
)
def test_foreign_files(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        load_routing_data(path)


def test_a_single_array_is_refused(tmp_path):
    with open(tmp_path / "data.npz", "wb") as file:
        np.save(file, ARRAYS["y"])
    with pytest.raises(ValueError, match="with named arrays, as"):
        load_routing_data(tmp_path / "data.npz")


def test_names_and_texts_stay_as_they_are_written(tmp_path):
    (tmp_path / "long.csv").write_text(
        "prompt_id,model,quality,prompt,source\n01,1.10,1,NA,math\n1,1.1,0,two,\n1,NA,1,two,\n"
    )
    data = load_routing_data(tmp_path / "long.csv")
    assert data.models.tolist() == ["1.10", "1.1", "NA"]
    np.testing.assert_array_equal(data.y, [[1, np.nan, np.nan], [np.nan, 0, 1]])
    assert data.prompts.tolist() == ["NA", "two"]
    assert data.source.tolist() == ["math", ""]


def test_a_model_may_be_named_na_and_rows_must_not_be_longer_than_the_header(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("prompt_id,NA,b\np,1,0\nq,,1\n")
    np.testing.assert_array_equal(load_routing_data(path).y, [[1, 0], [np.nan, 1]])
    path.write_text("prompt_id,a,b\np,1,0,3\nq,1,1,2\n")
    with pytest.raises(ValueError, match="rows have more fields than the header has names"):
        load_routing_data(path)


def test_missing_texts_are_empty(tmp_path):
    table = WIDE.assign(prompt=["one", None, "three"])
    data = load_routing_data(write(tmp_path, table, ".parquet"))
    assert data.prompts.tolist() == ["one", "", "three"]
    table = LONG.assign(source=pd.array([1, 1, None, 3, 3], dtype="Int64"))
    data = load_routing_data(write(tmp_path, table, ".parquet"))
    assert data.source.tolist() == ["1", "", "3"]


def test_a_repeated_column_is_refused(tmp_path):
    (tmp_path / "wide.csv").write_text("a,b,a\n1,0,1\n")
    with pytest.raises(ValueError, match=r"wide.csv: .*the header repeats column\(s\) 'a'"):
        load_routing_data(tmp_path / "wide.csv")


@pytest.mark.parametrize("content", [b"text", gzip.compress(b'{"id": 1}\n', mtime=0)])
def test_wrong_texts_beside_the_arrays(tmp_path, content):
    path = save(tmp_path)
    (tmp_path / "data.prompts.jsonl.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"data.prompts.jsonl.gz beside it must hold a JSON"):
        load_routing_data(path)


def test_further_columns_of_a_long_table_are_not_read(tmp_path):
    data = load_routing_data(write(tmp_path, LONG.assign(latency=range(5))))
    np.testing.assert_array_equal(data.y, QUALITY)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file"):
        load_routing_data(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no routing data at .*nothing.npz"):
        load_routing_data(tmp_path / "nothing.npz")


def test_frames_name_the_models(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("prompt,x0,a,b,a|cost,b|cost\nhi,1.5,0,1,1,2\nho,2.5,1,,3,\n")
    plain, frames = load_routing_data(path), load_routing_data(path, as_frame=True)
    assert frames.y.columns.tolist() == frames.costs.columns.tolist() == ["a", "b"]
    np.testing.assert_array_equal(frames.y, plain.y)
    np.testing.assert_array_equal(frames.costs, plain.costs)
    assert frames.prompts.tolist() == ["hi", "ho"]
    prices = tmp_path / "prices.npz"
    np.savez(prices, X=plain.X, y=plain.y, models=plain.models.astype(str), costs=[1.0, 2.0])
    assert load_routing_data(prices, as_frame=True).costs.to_dict() == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_spaces_around_names_are_ignored(tmp_path, suffix):
    table = WIDE.assign(x0=[1.0, 2.0, 3.0])
    plain = load_routing_data(write(tmp_path, table, suffix))
    spaced = table.rename(columns=lambda name: f" {name} ")
    spaced[" prompt_id "] = [f" {name} " for name in table["prompt_id"]]
    found = load_routing_data(write(tmp_path, spaced, suffix))
    assert found.models.tolist() == plain.models.tolist()
    for name in ("X", "y", "costs"):
        np.testing.assert_array_equal(found[name], plain[name])


def test_a_comma_and_a_space_separate_as_a_comma_does(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("prompt_id, small, large, x0, x1\na, 1, 0, 0.5, 7\nb, 0, , 0.1, 9\n")
    data = load_routing_data(path)
    assert data.models.tolist() == ["small", "large"]
    np.testing.assert_array_equal(data.X, [[0.5, 7], [0.1, 9]])
    np.testing.assert_array_equal(data.y, [[1, 0], [0, np.nan]])


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table,
        lambda table: table.sort_values("quality"),
        lambda table: table.sample(frac=1, random_state=0),
        lambda table: pd.concat([table[:2], table[2:].reset_index(drop=True)]),
        lambda table: table.set_index("prompt_id"),
        lambda table: table.set_index(["prompt_id", "model"]),
        lambda table: table.set_index(pd.Index(range(5, 10), name="id")),
        lambda table: table.set_index("model").sort_index(),
    ],
)
def test_long_tables_of_any_index_and_order(tmp_path, change):
    expected = load_routing_data(write(tmp_path, LONG, ".csv"), as_frame=True)
    changed = change(LONG)
    path = tmp_path / "changed.parquet"
    changed.to_parquet(path)
    found = load_routing_data(path, as_frame=True)
    # Prompts and models come in the order of the rows.
    order = changed.reset_index()["prompt_id"].unique()
    first = LONG["prompt_id"].unique().tolist()
    rows = [first.index(prompt) for prompt in order]
    names = expected.y.columns.tolist()
    np.testing.assert_array_equal(found.y[names], expected.y.iloc[rows])
    assert sorted(found.models) == sorted(names)


@pytest.mark.parametrize("name", [None, "id", "prompt_id"])
def test_an_index_of_a_wide_table_is_no_model(tmp_path, name):
    path = tmp_path / "wide.parquet"
    WIDE.drop(columns="prompt_id").set_index(pd.Index([7, 3, 5], name=name)).to_parquet(path)
    assert load_routing_data(path).models.tolist() == ["small", "large"]


def test_columns_of_several_levels_are_refused(tmp_path):
    path = tmp_path / "pivot.parquet"
    LONG.assign(cost=1.0).pivot(
        index="prompt_id", columns="model", values=["quality", "cost"]
    ).to_parquet(path)
    with pytest.raises(ValueError, match="its columns have several levels, as a pivot"):
        load_routing_data(path)


def test_costs_as_routerbench_names_them(tmp_path):
    renamed = WIDE.rename(columns=lambda name: name.replace("|cost", "|total_cost"))
    found, expected = (
        load_routing_data(write(tmp_path, table, ".parquet")) for table in (renamed, WIDE)
    )
    assert found.models.tolist() == expected.models.tolist()
    np.testing.assert_array_equal(found.costs, expected.costs)


@pytest.mark.parametrize("unit", ["datetime64[ns]", "timedelta64[ns]"])
def test_dates_are_refused(tmp_path, unit):
    table = WIDE.drop(columns=["small|cost", "large|cost"]).assign(
        created=np.arange(3).astype(unit)
    )
    with pytest.raises(ValueError, match="column 'created' holds dates or times"):
        load_routing_data(write(tmp_path, table, ".parquet"))


@pytest.mark.parametrize(
    ("column", "ranges"),
    [
        (np.arange(40) + 20, "'more' from 20 to 59, but the others from 0 to 1"),
        (np.arange(40) % 5 + 1, "'more' from 1 to 5, but the others from 0 to 1"),
        (np.arange(40) % 2 * 100.0, "'more' from 0 to 100, but the others"),
        (-1.0 - np.arange(40) % 3, "'more' from -3 to -1, but the others"),
    ],
)
def test_columns_on_another_scale_are_named(tmp_path, column, ranges):
    rng = np.random.RandomState(0)
    table = pd.DataFrame(rng.randint(2, size=(40, 3)) * 1.0, columns=list("abc"))
    load_routing_data(write(tmp_path, table))
    with pytest.warns(UserWarning, match=ranges) as caught:
        load_routing_data(write(tmp_path, table.assign(more=column)))
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_costs_that_were_not_recorded_are_missing(tmp_path):
    table = LONG.assign(cost=[1, 9, np.nan, 2, 7])
    data = load_routing_data(write(tmp_path, table))
    assert np.isnan(data.costs).sum() == np.isnan(data.y).sum() + 1


def test_one_long_text_takes_its_own_memory_alone(tmp_path):
    """Padded strings took 750 times the memory of the file."""
    table = pd.DataFrame({"prompt": ["a"] * 2000, "m": 1.0, "n": 0.0, "source": "s"})
    table.loc[7, ["prompt", "source"]] = "long" * 250_000
    path = write(tmp_path, table)
    tracemalloc.start()
    data = load_routing_data(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * path.stat().st_size
    assert data.prompts.dtype == data.source.dtype == data.models.dtype == object
    assert len(data.prompts[7]) == 1_000_000
    path = save(tmp_path)
    texts = [json.dumps({"text": "long" * size}) for size in (1, 1, 10**6, 1)]
    (tmp_path / "data.prompts.jsonl.gz").write_bytes(gzip.compress("\n".join(texts).encode()))
    assert load_routing_data(path).prompts.dtype == object


def bomb(path):
    """Write files that claim, or expand to, far more than they hold."""
    kind = path.name.partition(".")[0]
    if kind == "zeros":
        np.savez_compressed(path, X=np.zeros((70_000, 500)), y=np.zeros(1), models=np.array(["a"]))
    elif kind == "shape":
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**3)}
        content = io.BytesIO()
        np.lib.format.write_array_header_1_0(content, header)
        with zipfile.ZipFile(path, "w") as file:
            for name in ("X", "y", "models"):
                file.writestr(f"{name}.npy", content.getvalue())
    elif kind == "header":
        np.savez(path, X=np.zeros((2, 2)), y=np.zeros((2, 1)), models=np.array(["a"]))
        content = path.read_bytes().replace(b"(2, 2)", b"((((((")
        path.write_bytes(content)
    elif kind == "text":
        path.write_bytes(gzip.compress(b"prompt,m\n" + b"0" * (2**28 + 1)))
    elif kind == "columns":
        path.write_bytes(b"a," * 10**6 + b"b\n1\n")
    elif kind == "sparse":
        rows = [f"p{number},m{number},1" for number in range(30_000)]
        path.write_text("\n".join(["prompt_id,model,quality", *rows]))
    elif kind == "repeated":
        table = pyarrow.table({"m": np.zeros(10**6)})
        with pyarrow.parquet.ParquetWriter(path, table.schema) as file:
            for _ in range(40):
                file.write_table(table)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zeros.npz", "far more than its file; the limit is 256 MiB"),
        ("shape.npz", "array 'X' cannot be read: .* but its shape is"),
        ("header.npz", "damaged"),
        ("text.csv.gz", "far more than its file"),
        ("columns.csv", "it has 1000001 columns"),
        ("sparse.csv", "a table of all prompts and models would take"),
        ("repeated.parquet", "this table would take"),
    ],
)
def test_files_that_expand_are_refused(tmp_path, name, message):
    path = tmp_path / name
    bomb(path)
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        load_routing_data(path)
    assert tracemalloc.get_traced_memory()[1] < 3.5 * 2**28
    tracemalloc.stop()


@pytest.mark.parametrize(
    "lines", [b"[" * 100_000, b'{"text": 1}', b'{"text": ' + b"[" * 100_000, b"\xff"]
)
def test_nested_and_odd_lines_beside_the_arrays(tmp_path, lines):
    path = save(tmp_path)
    (tmp_path / "data.prompts.jsonl.gz").write_bytes(gzip.compress(lines))
    with pytest.raises(ValueError, match=r"data\.npz: "):
        load_routing_data(path)


def test_encrypted_archives_and_pipes_are_refused(tmp_path):
    path = save(tmp_path)
    content = bytearray(path.read_bytes())
    # The flags of an entry of the directory, and of the member itself.
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="this archive cannot be read"):
        load_routing_data(path)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OSError, match="is a pipe or a device"):
        load_routing_data(tmp_path / "pipe.csv")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".csv", ".csv.gz", ".parquet"])
def test_damaged_files_are_refused_or_read(tmp_path, suffix):
    path = save(tmp_path) if suffix == ".npz" else write(tmp_path, WIDE, suffix)
    with warnings.catch_warnings():
        # A digit that was hit is on another scale.
        warnings.simplefilter("ignore", UserWarning)
        outcomes = load_damaged(path, load_routing_data, n_times=300)
    for data in outcomes:
        if not isinstance(data, ValueError):
            assert data.y.shape == (len(data.y), len(data.models))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt_id,small,large\n0,0,1,1\n1,1,0,1\n2,1,1,1\n", "rows have more fields"),
        ("prompt_id,a,b\n1,1,0,\n2,0,1,\n", "rows have more fields"),
        ("a,b,a_cost\n1,0,2\n", "column 'a_cost' holds costs, but would be read as a model"),
        ("a,b,total_cost\n1,0,2\n", "column 'total_cost' holds costs"),
        ("a,b,X0\n1,0,2\n", "name columns of embeddings x0, x1"),
    ],
)
def test_columns_that_would_be_read_as_others_are_refused(tmp_path, text, message):
    path = tmp_path / "data.CSV"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_routing_data(path)


def test_ids_in_a_short_table_are_named(tmp_path):
    table = pd.DataFrame({"a": [1, 0, 1], "b": [0, 1, 1], "day": [20240101, 20240102, 20240103]})
    with pytest.warns(UserWarning, match="those of 'day' from 20240101 to"):
        load_routing_data(write(tmp_path, table))


def test_spaces_around_the_bar_of_costs_are_ignored(tmp_path):
    spaced = WIDE.rename(columns=lambda name: name.replace("|", " | "))
    found = load_routing_data(write(tmp_path, spaced, ".parquet"))
    np.testing.assert_array_equal(found.costs, load_routing_data(write(tmp_path, WIDE)).costs)


@pytest.mark.parametrize("embedding", [[1.0, 2.0, 3.0], [{"a": 1}] * 3, [["a"], ["b"], ["c"]]])
def test_embeddings_of_other_types_are_refused(tmp_path, embedding):
    with pytest.raises(ValueError, match=r"data\.parquet: "):
        load_routing_data(write(tmp_path, WIDE.assign(embedding=embedding), ".parquet"))
    both = WIDE.assign(embedding=[[1.0], [2.0], [3.0]], x0=1.0)
    with pytest.raises(ValueError, match=r"in columns x0, x1, \.\.\. and in"):
        load_routing_data(write(tmp_path, both, ".parquet"))
