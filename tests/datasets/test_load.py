import gzip
import json

import numpy as np
import pandas as pd
import pytest

from sklearn_uniroute.datasets import load_routing_data

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
        ({"models": np.array([None, "a"])}, "array 'models' cannot be read; expected numbers or"),
        ({"X": ARRAYS["X"][:3]}, "`X` has shape .3, 2. but `y` has 4 rows"),
        ({"X": ARRAYS["X"] * np.nan}, "Input X contains NaN"),
        ({"source": np.array(["a"])}, r"`source` has shape \(1,\) but `y` has 4 rows"),
        ({"source": np.array("a")}, r"`source` has shape \(\) but `y` has 4 rows"),
        ({"y": ARRAYS["y"][0]}, "`y` must be of shape"),
        ({"y": ARRAYS["y"] * [1, np.nan]}, r"no observed quality for model\(s\) 'large'"),
        ({"y": ARRAYS["y"] + [0, np.inf]}, "y contains infinity"),
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
        (LONG.assign(cost=[1, -9, 8, 2, 7]), "'cost' is missing or negative in row 1 "),
        (LONG.assign(cost=[1, 9, 8, np.nan, 7]), "'cost' is missing or negative in row 3 "),
        (LONG.assign(cost=[1, 9, 8, np.inf, 7]), "`costs` must be finite .* 'small' in row 2"),
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
        (LONG.assign(quality=np.inf), "y contains infinity"),
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
        ("data.npz", b"no archive", "NumPy cannot read this .npz file"),
        ("data.parquet", b"no table", "pandas cannot read this table"),
        ("data.csv", b"", "this table is empty"),
        ("data.csv", b"\xff\xfe\x00", "pandas cannot read this table"),
        ("data.txt", b"", "expected a file that ends in .npz, .csv, .csv.gz or .parquet"),
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
    with pytest.raises(ValueError, match="this file holds a single array"):
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


@pytest.mark.parametrize("content", [b"text", gzip.compress(b'{"id": 1}\n')])
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
    np.savez(prices, X=plain.X, y=plain.y, models=plain.models, costs=[1.0, 2.0])
    assert load_routing_data(prices, as_frame=True).costs.to_dict() == {"a": 1.0, "b": 2.0}
