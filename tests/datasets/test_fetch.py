import io
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from huggingface_hub import close_session, constants
from numpy.testing import assert_allclose, assert_array_equal
from pyarrow import parquet

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import (
    _routerbench,
    fetch_embedllm,
    fetch_open_llm_leaderboard,
    fetch_routerbench,
    fetch_sprout,
)
from tests.fake_hub import FakeHub

NAN = np.nan
# Written by pandas 2.1.2 and NumPy 1.26.1, with the columns and types of the real file.
ROUTERBENCH = (Path(__file__).parents[1] / "files" / "routerbench.pkl").read_bytes()


@pytest.fixture
def fetch(monkeypatch, tmp_path):
    """Call a function that fetches from a hub with these files, and nothing of it on disk yet."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    homes = iter(range(1000))

    def fetch(function, files, *args, **options):
        with FakeHub(files) as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            home = tmp_path / str(next(homes))
            return function(*args, data_home=home, **options)

    yield fetch
    close_session()


def csv(rows, columns="prompt_id,model_id,category_id,label,prompt,model_name,category"):
    return "\n".join([columns, *rows, ""]).encode()


EMBEDLLM = {
    "RZ412/EmbedLLM": {
        "train.csv": csv(
            [
                '7,0,1,1,"Is it, though?\nSay why.",org__a,logiqa',
                '7,1,1,0,"Is it, though?\nSay why.",org__b,logiqa',
                # The same text in another category, one answer twice, one model not run.
                '7,0,2,1,"Is it, though?\nSay why.",org__a,gpqa_main',
                '7,0,2,0,"Is it, though?\nSay why.",org__a,gpqa_main',
            ]
        ),
        "val.csv": csv(["9,1,1,1,NA,org__b,logiqa", "9,0,1,0,NA,org__a,logiqa"]),
        "test.csv": csv(["3,1,1,1,third,org__b,logiqa"]),
    }
}


def test_embedllm(fetch):
    data = fetch(fetch_embedllm, EMBEDLLM)
    assert_array_equal(data.models, ["org__a", "org__b"])
    text = "Is it, though?\nSay why."
    assert_array_equal(data.prompts, [text, text, "NA", "third"])
    assert_array_equal(data.source, ["logiqa", "gpqa_main", "logiqa", "logiqa"])
    assert_array_equal(data.y, [[1, 0], [0.5, NAN], [0, 1], [NAN, 1]])
    assert data.X is None
    assert data.costs is None
    assert "Apache-2.0" in data.DESCR


def test_embedllm_chunk_by_chunk(fetch, monkeypatch):
    whole = fetch(fetch_embedllm, EMBEDLLM)
    monkeypatch.setattr("sklearn_uniroute.datasets._embedllm._CHUNK_SIZE", 1)
    chunks = fetch(fetch_embedllm, EMBEDLLM)
    for name in ("y", "prompts", "source", "models"):
        assert_array_equal(chunks[name], whole[name])


def test_embedllm_split_and_forms(fetch):
    prompts, y = fetch(fetch_embedllm, EMBEDLLM, subset="val", return_X_y=True, as_frame=True)
    assert prompts.tolist() == ["NA"]
    assert prompts.name == "prompt"
    assert y.to_dict("list") == {"org__a": [0.0], "org__b": [1.0]}
    with pytest.raises(ValueError, match="`subset` must be one of 'all', 'train', 'val', 'test'"):
        fetch_embedllm(subset="dev")


def test_fetched_data_goes_through_the_readers_that_frames_go_through(fetch):
    data = fetch(fetch_routerbench_file, {"withmartian/routerbench": FILES}, as_frame=True)
    router = KMeansRouter(2, random_state=0).fit(np.eye(3), data.y, costs=data.costs)
    assert set(router.models_) == set(data.models)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            csv([], "prompt_id,label"),
            "train.csv: it has no column.*'category', 'prompt'",
        ),
        (csv(["1,0,1,2,text,a,b"]), "train.csv: column 'label' is not 0 or 1 in row 0 .'2'."),
        (csv([]), "train.csv: this table has no rows"),
        (
            csv(["1,0,1,1,one,a,b", "1,1,1,1,two,c,b"]),
            "prompt_id '1' of category 'b' has several texts",
        ),
        (csv(["1,0,1,1,t,a,b", "1,1,1,,t,c,b"]), "'label' is not 0 or 1 in row 1 .''."),
    ],
)
def test_embedllm_refuses_other_tables(fetch, content, message):
    files = {"RZ412/EmbedLLM": {"train.csv": content}}
    with pytest.raises(ValueError, match=message):
        fetch(fetch_embedllm, files, subset="train")


FILES = {"routerbench_0shot.pkl": ROUTERBENCH, "routerbench_5shot.pkl": ROUTERBENCH}


def fetch_routerbench_file(**options):
    # The checksum that is known is that of the real file.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_routerbench, "_SHA256", {0: None, 5: None})
        return fetch_routerbench(**options)


@pytest.mark.parametrize("shots", [0, 5])
def test_routerbench(fetch, shots):
    files = {"withmartian/routerbench": FILES}
    data = fetch(fetch_routerbench_file, files, shots=shots)
    assert_array_equal(data.models, ["gpt-4-1106-preview", "mistralai/mistral-7b-chat"])
    assert_allclose(data.y, [[1, 0], [0, 1], [0.9, 0.5]])
    assert_allclose(data.costs, [[0.01, 0.001], [0.02, 0.002], [0.03, 0.003]])
    assert data.cost_unit == "USD"
    prompts = ["Which is red?", "Write a function.", "Say hello.\n\nNow in French."]
    assert_array_equal(data.prompts, prompts)
    assert_array_equal(data.source, ["arc-challenge", "mbpp", "mtbench"])


def test_routerbench_has_a_known_checksum(fetch):
    with pytest.raises(OSError, match="expected ba4f77f1"):
        fetch(fetch_routerbench, {"withmartian/routerbench": FILES})


def pickled(**columns):
    table = {
        "prompt": ["{[1]}", "[1, 2]", "['\\d' unfinished"],
        "eval_name": "mbpp",
        "m": [0.0, 1.0, 0.5],
        "m|total_cost": 1.0,
    }
    frame = pd.DataFrame(table | columns).astype(object)
    frame.columns = frame.columns.astype(object)
    file = io.BytesIO()
    frame.drop(columns=[name for name in columns if columns[name] is None]).to_pickle(file)
    return file.getvalue()


def test_prompts_that_are_no_lists_of_texts_stay_as_they_are(fetch):
    files = {"withmartian/routerbench": {"routerbench_0shot.pkl": pickled()}}
    data = fetch(fetch_routerbench_file, files)
    assert data.prompts.tolist() == ["{[1]}", "[1, 2]", "['\\d' unfinished"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickled(eval_name=None), "has no column.*'eval_name'"),
        (pickled(m=None), "has no column.*'m'"),
        (pickled(**{"m|total_cost": None}), r"has no column.*'<model>\|total_cost'"),
        (pickled(m=[1, "right", 0]), "0shot.pkl: column 'm' is not a number in row 1 .'right'."),
        (pickled(prompt=["a", None, "b"]), "column 'prompt' is not a string in row 1 .nan."),
        (pickled(**{"m|total_cost": [1, -1, 0]}), "'m.total_cost' is below 0 in row 1 .-1"),
        (pickled(**{"m|total_cost": None}, **{"3": 1}), "has no column"),
        (pickled(m=[1, 0, None]), "'m' is not a finite number in row 2 .nan."),
    ],
)
def test_routerbench_refuses_other_tables(fetch, content, message):
    files = {"withmartian/routerbench": {"routerbench_0shot.pkl": content}}
    with pytest.raises(ValueError, match=message):
        fetch(fetch_routerbench_file, files)


class Evil:
    def __reduce__(self):
        return (print, ("a pickle ran this",))


@pytest.mark.parametrize("revision", [None, "main"])
def test_no_other_pickle_is_read(fetch, revision, capsys):
    files = {"withmartian/routerbench": {"routerbench_0shot.pkl": pickle.dumps(Evil())}}
    options = {} if revision is None else {"revision": revision}
    with pytest.raises(OSError, match="expected ba4f77f1"):
        fetch(fetch_routerbench, files, **options)
    assert not capsys.readouterr().out


def sprout(
    models=("openai-gpt-4o", "wxai-llama-3-2-1b-instruct"), prompts=("one", "two"), **fields
):
    cells = {
        "score": [0.5, None],
        "num_input_tokens": [10, 20],
        "num_output_tokens": [100, None],
        "response": ["long", "answers"],
        **fields,
    }
    cell = [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]
    columns = {
        "key": [1, 2],
        "dataset": ["rungalileo/ragbench/cuad", "lighteval/MATH/all"],
        "prompt": list(prompts),
        **{model: [cell[0], None] for model in models},
    }
    columns[models[0]] = cell
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


SPROUT = {
    "CARROT-LLM-Routing/SPROUT": {
        "data/train-00000-of-00003.parquet": sprout(),
        "data/train-00001-of-00003.parquet": sprout(),
        "data/train-00002-of-00003.parquet": sprout(),
        "data/validation-00000-of-00001.parquet": sprout(prompts=("three", "four")),
        "data/test-00000-of-00001.parquet": sprout(prompts=("five", "six")),
    }
}


def test_sprout(fetch):
    data = fetch(fetch_sprout, SPROUT, subset="validation")
    assert_array_equal(data.models, ["openai-gpt-4o", "wxai-llama-3-2-1b-instruct"])
    assert_array_equal(data.prompts, ["three", "four"])
    assert_array_equal(data.source, ["rungalileo/ragbench/cuad", "lighteval/MATH/all"])
    assert_array_equal(data.y, [[0.5, 0.5], [NAN, NAN]])
    assert_array_equal(data.input_tokens, [[10, 10], [20, NAN]])
    assert_array_equal(data.output_tokens, [[100, 100], [NAN, NAN]])
    # Ten tokens of input and a hundred of output, at 2.5 and 10 USD a million, and at .06 both.
    assert_allclose(data.costs, [[1.025e-3, 6.6e-6], [NAN, NAN]])
    assert len(fetch(fetch_sprout, SPROUT).prompts) == 10


def test_sprout_at_other_prices(fetch):
    prices = {"openai-gpt-4o": (0, 1e6), "wxai-llama-3-2-1b-instruct": (1e6, 0)}
    data = fetch(fetch_sprout, SPROUT, subset="test", prices=prices, as_frame=True)
    assert data.costs.iloc[0].to_dict() == {
        "openai-gpt-4o": 100,
        "wxai-llama-3-2-1b-instruct": 10,
    }
    assert data.output_tokens.columns.tolist() == data.models.tolist()
    for prices, message in (
        ({"openai-gpt-4o": (1, 1)}, "no entry for 'wxai-llama-3-2-1b-instruct'"),
        (dict.fromkeys(data.models, (1, -1)), "two finite numbers of at least 0"),
        (dict.fromkeys(data.models, (1, 1, 1)), "two finite numbers of at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fetch(fetch_sprout, SPROUT, subset="test", prices=prices)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (sprout(models=("openai-gpt-4o",)), "expected the same models in all files"),
        (
            sprout(score=[[1.0], [2.0]]),
            "00003.parquet: column 'openai-gpt-4o.score' must hold",
        ),
        (
            sprout(num_input_tokens=[1, -2]),
            "gpt-4o.num_input_tokens' is below 0 in row 1 .-2",
        ),
        (sprout(prompts=("one", None)), "column 'prompt' is not a string in row 1 .None."),
        (
            sprout(score=["good", "bad"]),
            "00003.parquet: column 'openai-gpt-4o.score' must hold",
        ),
    ],
)
def test_sprout_refuses_files_that_differ(fetch, second, message):
    files = SPROUT["CARROT-LLM-Routing/SPROUT"] | {"data/train-00001-of-00003.parquet": second}
    with pytest.raises(ValueError, match=message):
        fetch(fetch_sprout, {"CARROT-LLM-Routing/SPROUT": files}, subset="train")


def test_sprout_refuses_a_model_without_all_fields(fetch):
    file = io.BytesIO()
    columns = {"prompt": ["a"], "dataset": ["b"], "gpt": [{"score": 1.0, "num_input_tokens": 3}]}
    parquet.write_table(pa.table(columns), file)
    files = {"data/test-00000-of-00001.parquet": file.getvalue()}
    with pytest.raises(ValueError, match=r"has no column\(s\) 'gpt.num_output_tokens'"):
        fetch(fetch_sprout, {"CARROT-LLM-Routing/SPROUT": files}, subset="test")


def test_sprout_refuses_other_columns(fetch):
    file = io.BytesIO()
    parquet.write_table(pa.table({"prompt": ["a"], "dataset": ["b"], "gpt": [1.0]}), file)
    files = {"data/test-00000-of-00001.parquet": file.getvalue()}
    with pytest.raises(ValueError, match=r"no column\(s\) '<model>: struct of score"):
        fetch(fetch_sprout, {"CARROT-LLM-Routing/SPROUT": files}, subset="test")


def lines(*rows):
    return "\n".join(map(json.dumps, rows)).encode()


def asked(doc_id, **fields):
    doc = {"input": f"question {doc_id}", "problem": f"problem {doc_id}"}
    return {"doc_id": doc_id, "doc": doc, "target": "x", "arguments": {}, **fields}


OLD, NEW = "2024-06-16T19-10-04.926831", "2024-08-01T00-00-00.000001"
LEADERBOARD = {
    "open-llm-leaderboard/org__a-details": {
        "README.md": b"",
        f"org__a/results_{NEW}.json": b"{}",
        f"org__a/samples_leaderboard_bbh_navigate_{OLD}.json": lines(asked(0, acc_norm=0.0)),
        f"org__a/samples_leaderboard_bbh_navigate_{NEW}.json": lines(
            asked(1, acc_norm=1.0), asked(0, acc_norm=1)
        ),
        f"org__a/samples_leaderboard_math_geometry_hard_{NEW}.jsonl": lines(
            asked(0, exact_match="0", acc=1)
        ),
    },
    "open-llm-leaderboard/org__b-details": {
        f"org__b/samples_leaderboard_bbh_navigate_{NEW}.jsonl": lines(asked(0, acc_norm=False)),
    },
}


def test_leaderboard(fetch):
    data = fetch(fetch_open_llm_leaderboard, LEADERBOARD, ["org/a", "org/b"])
    assert_array_equal(data.models, ["org/a", "org/b"])
    assert_array_equal(data.prompts, ["question 0", "question 1", "problem 0"])
    bbh = "leaderboard_bbh_navigate"
    assert_array_equal(data.source, [bbh, bbh, "leaderboard_math_geometry_hard"])
    assert_array_equal(data.y, [[1, 0], [1, NAN], [0, NAN]])
    only = fetch(fetch_open_llm_leaderboard, LEADERBOARD, ["org/a"], tasks=["leaderboard_math"])
    assert_array_equal(only.y, [[0]])


def test_leaderboard_from_disk(fetch, monkeypatch, tmp_path):
    data = fetch(fetch_open_llm_leaderboard, LEADERBOARD, ["org/a"])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    for download in (True, False):
        again = fetch_open_llm_leaderboard(
            ["org/a"], data_home=tmp_path / "0", download_if_missing=download
        )
        assert_array_equal(again.y, data.y)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lines(asked(0, acc=1)), "line 0 must be a JSON object with doc_id.*'acc_norm'"),
        (lines(asked(0.7, acc_norm=1)), "line 0 must be .*doc_id is 0.7"),
        (b"\xff\xfe{", "line 0 must be a JSON object"),
        (lines(asked(0, acc_norm=0.5)), "line 0 must be a JSON object"),
        (lines({"doc_id": 0, "doc": {}, "acc_norm": 1}), "line 0 must be a JSON object"),
        (b"[1]\n", "line 0 must be a JSON object"),
        (b"nothing", "line 0 must be a JSON object"),
        (lines(asked(3, acc_norm=1), asked(3, acc_norm=1)), "the file repeats doc_id 3"),
        (
            lines({"doc_id": 0, "doc": {"input": "something else"}, "acc_norm": 1}),
            "org/b has a different question than the models before it for doc_id 0",
        ),
    ],
)
def test_leaderboard_refuses_other_files(fetch, content, message):
    files = {f"org__b/samples_leaderboard_bbh_navigate_{NEW}.jsonl": content}
    files = LEADERBOARD | {"open-llm-leaderboard/org__b-details": files}
    with pytest.raises(ValueError, match=message):
        fetch(fetch_open_llm_leaderboard, files, ["org/a", "org/b"])


@pytest.mark.parametrize(
    ("models", "tasks", "message"),
    [
        ([], ["leaderboard_bbh"], "at least one model, each once; got none"),
        (["org/a", "org/a"], ["leaderboard_bbh"], "each once; got 'org/a'"),
        (["org/a"], ["bbh"], "`tasks` must be names of tasks.* got 'bbh'"),
        (["org/a"], [], "got none"),
        ("org/a", ["leaderboard_bbh"], "must be sequences of names; got 'org/a'"),
        (["org/a"], "leaderboard_bbh", "must be sequences of names"),
        (
            ["org/a"],
            ["leaderboard_bbh_navigate", "leaderboard_bbh_navigat0r"],
            "none of the models has a file for the task.*'leaderboard_bbh_navigat0r'",
        ),
        (["org/a"], ["leaderboard_ifeval"], "has no file for 'leaderboard_ifeval'"),
    ],
)
def test_leaderboard_refuses_unknown_names(fetch, models, tasks, message):
    with pytest.raises(ValueError, match=message):
        fetch(fetch_open_llm_leaderboard, LEADERBOARD, models, tasks=tasks)
