import json

import numpy as np
import pandas as pd
import pytest

from sklearn_uniroute.datasets import load_model_features, load_routing_data

TABLE = {"small": {"mmlu": 0.5, "size": None}, "org/large:free": {"mmlu": 0.9, "size": 70}}
FRAME = pd.DataFrame(
    {"mmlu": [0.5, 0.9], "size": [np.nan, 70.0]},
    index=pd.Index(["small", "org/large:free"], dtype=object, name="model"),
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cards.csv", "model,mmlu,size\nsmall,0.5,\norg/large:free,0.9,70\n"),
        ("cards.csv", "size, mmlu,model\n,0.5,small\n70,0.9, org/large:free \n"),
        ("cards.json", json.dumps(TABLE)),
        ("cards.JSON", json.dumps([{"model": name, **one} for name, one in TABLE.items()])),
        (
            "cards.json",
            (
                '[{"model": "small", "mmlu": 0.5}, '
                '{"size": 70, "model": "org/large:free", "mmlu": 0.9}]'
            ),
        ),
    ],
)
def test_layouts(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    found = load_model_features(path)
    pd.testing.assert_frame_equal(found[["mmlu", "size"]], FRAME, check_index_type=False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cards.csv", "name,mmlu\na,1\n", "expected a column `model`"),
        ("cards.csv", "model\na\n", "expected a column `model`"),
        ("cards.csv", "model,mmlu\na,high\n", "column 'mmlu' is not a number in row 0"),
        ("cards.csv", "model,mmlu\na,inf\n", "column 'mmlu' is infinite in row 0"),
        ("cards.csv", "model,mmlu\na,1\na,2\n", r"model\(s\) 'a' come more than once"),
        ("cards.csv", "model,mmlu\n,1\n", "column 'model' is empty in row 0"),
        ("cards.csv", "model,mmlu\na,0.5,0.9\nb,0.6,0.8\n", "more fields than the header"),
        ("cards.csv", "model,mmlu\na,0.5,\n", "more fields than the header"),
        ("cards.csv", "model,mmlu,mmlu\na,1,2\n", "repeats column"),
        ("cards.csv", ",model,mmlu\n0,a,1\n", "all with names"),
        ("cards.csv", "model,mmlu\n", "has no rows"),
        ("cards.json", '{"a": {"x": 1}, "a": {"x": 2}}', "'a' comes more than once"),
        ("cards.json", '[{"model": "a", "x": 1, "x": 2}]', "'x' comes more than once"),
        ("cards.json", '{"a": {"model": "b", "x": 1}}', "names another model"),
        ("cards.json", "[1, 2]", "expected an object for each model"),
        ("cards.json", "{", r"cards\.json: "),
        ("cards.txt", "model,mmlu\n", "ends in .csv or .json"),
    ],
)
def test_tables_that_are_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_model_features(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"features of models at .*none\.csv"):
        load_model_features(tmp_path / "none.csv")


ARRAYS = {
    "X": np.zeros((3, 2)),
    "y": np.array([[0.0, 1], [1, 1], [0, 0]]),
    "models": np.array(["small", "large"]),
}


def test_features_in_an_archive_of_arrays(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(
        path,
        **ARRAYS,
        features=[[0.5], [np.nan]],
        feature_names=["mmlu"],
        params_b=np.array([np.nan, 70], dtype=np.float32),
    )
    data = load_routing_data(path)
    assert data.model_feature_names.tolist() == ["mmlu", "log_params_b"]
    np.testing.assert_allclose(data.model_features, [[0.5, np.nan], [np.nan, np.log(70)]])
    frame = load_routing_data(path, as_frame=True).model_features
    assert frame.index.tolist() == ["small", "large"]
    assert frame.loc["large", "log_params_b"] == pytest.approx(np.log(70))
    np.savez(path, **ARRAYS)
    data = load_routing_data(path)
    assert (data.model_features, data.model_feature_names) == (None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.ones((2, 2))}, "must hold 2 names"),
        ({"features": np.ones((2, 2)), "feature_names": ["a"]}, "must hold 2 names"),
        ({"features": np.ones((2, 2)), "feature_names": ["a", "a"]}, "different names"),
        ({"features": np.ones((3, 1)), "feature_names": ["a"]}, "one number per model"),
        ({"params_b": np.ones(3)}, "one number per model"),
        ({"params_b": np.array([0.0, 1.0])}, "must be above 0"),
    ],
)
def test_wrong_features_in_an_archive(tmp_path, changes, message):
    np.savez(tmp_path / "data.npz", **ARRAYS, **changes)
    with pytest.raises(ValueError, match=message):
        load_routing_data(tmp_path / "data.npz")
