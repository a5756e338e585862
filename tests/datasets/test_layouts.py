"""Layouts that logs and public data sets come in, each read to the same arrays."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_uniroute.datasets import load_routing_data

NAMES = ["org/small", "org/large:free", "1.10", "NA"]


def reference(calls, merge="last"):
    """Quality and cost by prompt and model, call by call."""
    prompts = list(dict.fromkeys(call["prompt_id"] for call in calls))
    models = list(dict.fromkeys(call["model"] for call in calls))
    cells = {name: [[[] for _ in models] for _ in prompts] for name in ("quality", "cost")}
    for call in calls:
        row, column = prompts.index(call["prompt_id"]), models.index(call["model"])
        for name, known in cells.items():
            if call[name] is not None:
                known[row][column].append(call[name])
    pick = {"last": lambda known: known[-1], "mean": np.mean}[merge]
    arrays = [
        np.array([[pick(known) if known else np.nan for known in row] for row in cells[name]])
        for name in ("quality", "cost")
    ]
    return models, *arrays


@st.composite
def logs(draw, repeats=False):
    """Calls of models, each with a text, a quality and a cost that may be missing."""
    pairs = [(prompt, model) for prompt in ("007", "7", "NA", "q d") for model in NAMES]
    called = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=12, unique=not repeats))
    quality = st.sampled_from([0.0, 0.25, 1.0])
    return [
        {
            "prompt_id": prompt,
            "model": model,
            "quality": draw(quality if place == 0 else st.none() | quality),
            "cost": draw(st.none() | st.sampled_from([0.0, 0.125, 3.0])),
            "prompt": f"text, of\n{prompt}",
        }
        for place, (prompt, model) in enumerate(called)
    ]


def write(frame, folder, form):
    """Write a table, or convert it."""
    path = folder / f"log.{form}"
    if form == "pandas":
        return frame
    if form == "polars":
        return pl.DataFrame(frame.to_dict("list"), strict=False)
    if form.startswith("csv"):
        frame.to_csv(path, index=False)
    elif form.startswith("tsv"):
        frame.to_csv(path, index=False, sep="\t")
    elif form.startswith("jsonl"):
        frame.to_json(path, orient="records", lines=True)
    else:
        path = folder / "log.parquet"
        if form == "parquet of texts":
            frame = frame.set_index(["model", "prompt_id"])
        frame.to_parquet(path)
    return path


FORMS = ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "parquet", "parquet of texts"]


@pytest.mark.filterwarnings("ignore:some qualities are on another scale")
@pytest.mark.parametrize("form", [*FORMS, "pandas", "polars"])
@given(calls=logs(), data=st.data())
def test_all_forms_of_a_log_are_read_alike(calls, data, form, tmp_path_factory):
    models, quality, costs = reference(calls)
    if np.isnan(quality).all(axis=0).any() or np.isnan(costs).all(axis=0).any():
        return
    columns = data.draw(st.permutations(list(calls[0])))
    frame = pd.DataFrame(calls)[columns]
    source = write(frame, tmp_path_factory.mktemp("log"), form)
    found = load_routing_data(source)
    assert found.models.tolist() == models
    np.testing.assert_array_equal(found.y, quality)
    np.testing.assert_array_equal(found.costs, costs)
    texts = dict.fromkeys(call["prompt"] for call in calls)
    assert found.prompts.tolist() == list(texts)


@pytest.mark.filterwarnings("ignore:some qualities are on another scale")
@pytest.mark.parametrize("merge", ["mean", "last"])
@given(calls=logs(repeats=True))
def test_repeated_calls_are_merged(calls, merge):
    models, quality, costs = reference(calls, merge)
    if np.isnan(quality).all(axis=0).any() or np.isnan(costs).all(axis=0).any():
        return
    found = load_routing_data(pd.DataFrame(calls), duplicates=merge)
    assert found.models.tolist() == models
    np.testing.assert_allclose(found.y, quality)
    np.testing.assert_allclose(found.costs, costs)
    pairs = {(call["prompt_id"], call["model"]) for call in calls}
    if len(pairs) < len(calls):
        with pytest.raises(ValueError, match=r"in row .* pass duplicates='mean' or 'last'"):
            load_routing_data(pd.DataFrame(calls))


def test_columns_of_other_names():
    log = pd.DataFrame(
        {
            "id": [1, 1, 2],
            "llm": ["a", "b", "a"],
            "model": ["deployment-1", "deployment-2", "deployment-1"],
            "grade": [True, False, None],
            "usd": [0.1, 0.2, 0.3],
            "question": ["x", "x", "y"],
        }
    )
    names = {
        "prompt_id": "id",
        "model": "llm",
        "quality": "grade",
        "cost": "usd",
        "prompt": "question",
    }
    before = log.copy()
    data = load_routing_data(log, columns=names)
    assert data.models.tolist() == ["a", "b"]
    np.testing.assert_array_equal(data.y, [[1, 0], [np.nan, np.nan]])
    np.testing.assert_array_equal(data.costs, [[0.1, 0.2], [0.3, np.nan]])
    assert data.prompts.tolist() == ["x", "y"]
    pd.testing.assert_frame_equal(log, before)
    del names["prompt_id"]
    by_text = load_routing_data(log, columns=names)
    np.testing.assert_array_equal(by_text.y, data.y)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_grades_that_are_booleans(form, tmp_path):
    frame = pd.DataFrame(
        {"prompt_id": ["a", "b", "c"], "model": ["m", "m", "m"], "quality": [True, None, False]}
    )
    data = load_routing_data(write(frame, tmp_path, form))
    np.testing.assert_array_equal(data.y, [[1], [np.nan], [0]])


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ((1, 5), [[0, 1], [0.5, np.nan]]),
        ((5, 1), [[1, 0], [0.5, np.nan]]),
        ({"b": (0, 10)}, [[1, 0.5], [3, np.nan]]),
        ({"a": (1.0, 3.0), "b": [1, 5]}, [[0, 1], [1, np.nan]]),
    ],
)
@pytest.mark.filterwarnings("ignore:some qualities are on another scale")
def test_grades_on_other_scales(scale, expected):
    wide = pd.DataFrame({"prompt_id": ["p", "q"], "a": [1, 3], "b": [5, np.nan]})
    np.testing.assert_allclose(load_routing_data(wide, scale=scale).y, expected)


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        ((1, 4), ValueError, "model 'b' has a grade of 5 in row 0, beyond the `scale` from 1"),
        ((1, 1), ValueError, "two different finite grades"),
        ((1, np.inf), ValueError, "two different finite grades"),
        ((1, 3, 5), TypeError, r"such as \(1, 5\)"),
        (5, TypeError, r"such as \(1, 5\)"),
        ({"c": (1, 5)}, ValueError, "`scale` names 'c', but the models are 'a', 'b'"),
    ],
)
def test_wrong_scales(scale, error, message):
    wide = pd.DataFrame({"prompt_id": ["p", "q"], "a": [1, 3], "b": [5, 4]})
    with pytest.raises(error, match=message):
        load_routing_data(wide, scale=scale)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"model": "llm"}, ValueError, "`columns` names column.* 'llm', which the table does not"),
        ({"llm": "model"}, ValueError, "maps 'llm'; its keys must be among 'prompt_id', 'model'"),
        ({"model": "m", "prompt": "m"}, ValueError, "uses 'm' more than once"),
        (["model"], TypeError, "must map names of this package"),
        ({"model": 3}, TypeError, "must map names of this package"),
    ],
)
def test_wrong_names_of_columns(columns, error, message):
    log = pd.DataFrame({"prompt_id": ["p"], "m": ["a"], "quality": [1.0]})
    with pytest.raises(error, match=message):
        load_routing_data(log, columns=columns)


@pytest.mark.parametrize("first", [0, 1])
def test_embeddings_in_numbered_columns_of_another_name(first):
    X = np.arange(36.0).reshape(3, 12)
    table = pd.DataFrame(X[:, ::-1], columns=[f"e{first + n}" for n in range(12)][::-1])
    table["small"], table["x0"], table["e"] = [0, 1, 1], 9.0, [1, 0, 1]
    data = load_routing_data(table, columns={"embedding": "e*"})
    np.testing.assert_array_equal(data.X, X)
    assert data.models.tolist() == ["small", "e"]
    # Columns of other embeddings do not fill gaps.
    gap = table.drop(columns=f"e{first + 3}").assign(x3=0.0, x99=1.0)
    with pytest.raises(ValueError, match="without a gap; missing: 'x3'"):
        load_routing_data(gap, columns={"embedding": "e*"})
    with pytest.raises(ValueError, match="'f\\*', but the table has no column 'f0' or 'f1'"):
        load_routing_data(table, columns={"embedding": "f*"})
    with pytest.raises(ValueError, match="without a gap; missing: 'x3'"):
        load_routing_data(table.drop(columns=f"e{first + 3}"), columns={"embedding": "e*"})


def test_names_of_columns_are_for_tables(tmp_path):
    np.savez(tmp_path / "data.npz", X=[[0.0]], y=[[1.0]], models=["a"])
    with pytest.raises(ValueError, match="`columns` and `scale` are for tables"):
        load_routing_data(tmp_path / "data.npz", columns={"model": "m"})
    with pytest.raises(TypeError, match="expected a path or a DataFrame; got list"):
        load_routing_data([[1, 2]])


def routerbench():
    """The wide table of RouterBench, with its names of columns."""
    return pd.DataFrame(
        {
            "sample_id": ["mmlu.val.0", "mmlu.val.1"],
            "prompt": ["['Is it?', 'Yes or no.']", "Prove it."],
            "eval_name": ["mmlu", "gsm8k"],
            "org/small": [0.0, 1.0],
            "org/large": [1.0, 0.25],
            "org/small|model_response": ["['no']", "['so']"],
            "org/large|model_response": ["['yes']", "['thus']"],
            "org/small|total_cost": [0.01, 0.02],
            "org/large|total_cost": [0.5, 0.75],
            "oracle_model_to_route_to": ["org/large", "org/small"],
        }
    )


@pytest.mark.parametrize("form", [*FORMS[:-1], "pandas", "polars"])
def test_the_table_of_routerbench(form, tmp_path):
    data = load_routing_data(write(routerbench(), tmp_path, form))
    assert data.models.tolist() == ["org/small", "org/large"]
    np.testing.assert_array_equal(data.y, [[0, 1], [1, 0.25]])
    np.testing.assert_array_equal(data.costs, [[0.01, 0.5], [0.02, 0.75]])
    assert data.prompts.tolist() == ["Is it?\n\nYes or no.", "Prove it."]
    assert data.source.tolist() == ["mmlu", "gsm8k"]


def test_the_log_of_embedllm(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text(
        "prompt_id,model_id,label,prompt,model_name,category_id\n"
        "3,0,1,What is it?,org/a,7\n3,1,0,What is it?,org/b,7\n8,1,1,And that?,org/b,2\n"
    )
    data = load_routing_data(path, columns={"model": "model_name", "quality": "label"})
    assert data.models.tolist() == ["org/a", "org/b"]
    np.testing.assert_array_equal(data.y, [[1, 0], [np.nan, 1]])


def test_rows_of_a_wide_table_are_merged():
    wide = pd.DataFrame(
        {
            "prompt_id": ["p", "q", "p", None, None],
            "a": [1.0, 0.0, 0.0, 1.0, 0.0],
            "a|cost": [1.0, 5.0, 3.0, 7.0, 9.0],
            "b": [np.nan, 1.0, 1.0, 0.0, 1.0],
            "b|cost": [2.0, 2.0, np.nan, 2.0, 2.0],
        }
    )
    data = load_routing_data(wide, duplicates="mean")
    np.testing.assert_array_equal(data.y, [[0.5, 1], [0, 1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(data.costs, [[2, 2], [5, 2], [7, 2], [9, 2]])
    last = load_routing_data(wide, duplicates="last")
    np.testing.assert_array_equal(last.y, [[0, 1], [0, 1], [1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"repeats an earlier prompt in row 2 .'p'.; pass"):
        load_routing_data(wide)


def test_ids_that_are_equal_as_numbers_alone(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("prompt_id,model,quality\n007,a,1\n7,a,0\n+7,a,1\n")
    assert load_routing_data(path).y.ravel().tolist() == [1, 0, 1]
    path.write_text("prompt_id,model,quality\n1,1.10,1\n1,1.1,0\n")
    assert load_routing_data(path).models.tolist() == ["1.10", "1.1"]
    with gzip.open(tmp_path / "log.jsonl.gz", "wt") as file:
        file.write('{"prompt_id": "07", "model": "a", "quality": 1}\n')
        file.write('{"prompt_id": "7", "model": "a", "quality": 0}\n')
    assert load_routing_data(tmp_path / "log.jsonl.gz").y.ravel().tolist() == [1, 0]


def test_texts_that_differ_within_a_prompt_are_refused():
    log = pd.DataFrame(
        {"prompt_id": ["p", "p"], "model": ["a", "b"], "quality": [1, 0], "prompt": ["x", None]}
    )
    with pytest.raises(
        ValueError, match=r"column 'prompt' differs from an earlier row .* in row 1"
    ):
        load_routing_data(log)
    log["prompt"] = [None, None]
    assert load_routing_data(log).prompts.tolist() == [""]


def test_grades_beyond_the_scale_are_refused_before_they_are_merged():
    log = pd.DataFrame({"prompt_id": ["a", "a", "b"], "model": "m", "quality": [-1.0, 5, 1]})
    for merge in ("mean", "last"):
        with pytest.raises(ValueError, match="grade of -1 in row 0, beyond the `scale`"):
            load_routing_data(log, scale=(1, 5), duplicates=merge)
    log["quality"] = [np.inf, -np.inf, 1]
    with pytest.raises(ValueError, match="column 'quality' is infinite in row 0"):
        load_routing_data(log, duplicates="mean")


def test_missing_ids_are_no_numbers_of_rows():
    wide = pd.DataFrame({"prompt_id": [2, 2, None, 5], "a": [1, 0, 1, 1.0], "b": [1, 1, 0, 0.0]})
    data = load_routing_data(wide, duplicates="mean")
    np.testing.assert_array_equal(data.y, [[0.5, 1], [1, 0], [1, 0]])


def test_ids_of_a_long_file_are_of_one_kind(tmp_path):
    n_prompts = 140_000
    ids = [*map(str, range(n_prompts))] * 2 + ["adhoc"]
    models = ["a"] * n_prompts + ["b"] * n_prompts + ["a"]
    log = pd.DataFrame({"prompt_id": ids, "model": models, "quality": 1})
    log.to_csv(tmp_path / "log.csv", index=False)
    assert len(load_routing_data(tmp_path / "log.csv").y) == n_prompts + 1


@pytest.mark.parametrize(
    ("log", "error", "message"),
    [
        (
            {"prompt_id": [1, "1"], "model": "m", "quality": 1},
            ValueError,
            "column 'prompt_id' has '1' as numbers and as texts",
        ),
        (
            {"prompt": [[{"role": "user"}], "b"], "model": "m", "quality": 1},
            ValueError,
            "column 'prompt' is a list; convert it to a text in row 0",
        ),
        (
            {"prompt": ["a", None], "model": "m", "quality": 1},
            ValueError,
            "column 'prompt' is empty in row 1",
        ),
        (
            {"a_quality": [1, 0], "b_quality": [0, 1], "a_cost": [0.1, 0.2]},
            ValueError,
            "column 'a_cost' holds costs",
        ),
        ({"a": [1, 0], "cost_a": [0.1, 0.2]}, ValueError, "column 'cost_a' holds costs"),
    ],
)
def test_tables_that_would_be_misread(log, error, message):
    with pytest.raises(error, match=message):
        load_routing_data(pd.DataFrame(log))


def test_lazy_frames_are_refused():
    with pytest.raises(TypeError, match="this DataFrame is lazy"):
        load_routing_data(pl.LazyFrame({"a": [1, 0]}))


def test_texts_of_arrow_that_are_missing():
    log = pd.DataFrame(
        {"prompt_id": ["p", "p", "q"], "model": ["a", "b", "a"], "quality": [1, 0, 1]}
    ).assign(source=pd.array(["s", "s", None], dtype="string"))
    log["prompt"] = pd.array(["x", "x", None], dtype="string")
    assert load_routing_data(log).prompts.tolist() == ["x", ""]
    log["prompt"] = pd.array(["x", None, None], dtype="string")
    with pytest.raises(ValueError, match="column 'prompt' differs"):
        load_routing_data(log)


def test_json_lines_with_a_mark_of_order_and_arrays(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt_id": "p", "model": "m", "quality": 1}\n')
    assert load_routing_data(path).models.tolist() == ["m"]
    path.write_text('[{"prompt_id": "p", "model": "m", "quality": 1}]')
    with pytest.raises(ValueError, match="expected one JSON object per line; got an array"):
        load_routing_data(path)
