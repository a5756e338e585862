import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_uniroute.datasets import call_costs, load_prices

LITELLM = {
    "sample_spec": {
        "input_cost_per_token": 0.0,
        "output_cost_per_token": 0.0,
        "max_input_tokens": "max input tokens, if the provider specifies it",
        "mode": "one of: chat, embedding",
    },
    "org/large": {
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 1.5e-05,
        "cache_read_input_token_cost": 3e-07,
        "input_cost_per_token_above_200k_tokens": 6e-06,
        "output_cost_per_token_above_200k_tokens": 2.25e-05,
        "max_input_tokens": 1000000,
        "max_output_tokens": 64000,
        "max_tokens": 64000,
        "litellm_provider": "org",
        "mode": "chat",
        "supports_vision": True,
        "supports_function_calling": True,
        "search_context_cost_per_query": {"search_context_size_low": 0.01},
    },
    "org/reasons": {
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "output_cost_per_reasoning_token": 4e-06,
        "max_input_tokens": 8192,
        "supports_vision": False,
    },
    "org/free": {"input_cost_per_token": 0.0, "output_cost_per_token": 0, "mode": "chat"},
    "org/image": {"output_cost_per_image": 0.04, "mode": "image_generation"},
    "org/null": {"input_cost_per_token": None, "output_cost_per_token": 2e-06},
}
OPENROUTER = {
    "data": [
        {
            "id": "org/large",
            "name": "Large",
            "context_length": 200000,
            "architecture": {"input_modalities": ["text", "image"], "tokenizer": "GPT"},
            "pricing": {
                "prompt": "0.000003",
                "completion": "0.000015",
                "request": "0.01",
                "image": "0.0048",
                "internal_reasoning": "0",
                "input_cache_read": "0.0000003",
            },
            "top_provider": {"context_length": 200000, "max_completion_tokens": None},
            "supported_parameters": ["tools", "seed"],
        },
        {
            "id": "org/small:free",
            "context_length": 8192,
            "architecture": None,
            "pricing": {"prompt": "0", "completion": "0"},
            "top_provider": {"max_completion_tokens": 4096},
            "supported_parameters": [],
        },
        {"id": "router/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
    ]
}


def as_file(content, folder):
    path = folder / "prices.json"
    path.write_text(json.dumps(content))
    return path


def test_the_map_of_litellm(tmp_path):
    with pytest.warns(UserWarning, match=r"no price .* for 2 model.*: 'org/image', 'org/null'"):
        prices = load_prices(as_file(LITELLM, tmp_path))
    assert prices.index.tolist() == list(LITELLM)[1:]
    large = prices.loc["org/large"]
    assert large[["input", "output", "cached"]].tolist() == pytest.approx([3, 15, 0.3])
    assert large[["input_above_200k", "output_above_200k"]].tolist() == pytest.approx([6, 22.5])
    assert prices.loc["org/free", ["input", "output"]].tolist() == [0, 0]
    assert prices.loc["org/null", ["input", "output"]].tolist() == pytest.approx(
        [np.nan, 2], nan_ok=True
    )
    assert prices.loc["org/reasons", "reasoning"] == pytest.approx(4)
    fits = prices["max_input_tokens"] >= 100_000
    assert prices.index[fits & prices["supports_vision"]].tolist() == ["org/large"]
    assert prices["supports_vision"].dtype == bool


def test_the_list_of_openrouter(tmp_path):
    for content in (OPENROUTER, OPENROUTER["data"]):
        with pytest.warns(UserWarning, match="'router/auto'"):
            prices = load_prices(as_file(content, tmp_path))
        assert prices.loc["org/large", ["input", "output", "cached", "request"]].tolist() == (
            pytest.approx([3, 15, 0.3, 0.01])
        )
        assert prices.loc["org/small:free", ["input", "output"]].tolist() == [0, 0]
        assert prices["max_input_tokens"].tolist()[:2] == [200000, 8192]
        assert prices["max_output_tokens"].tolist()[1] == 4096
        assert prices["supports_tools"].tolist() == [True, False, False]
        assert prices["supports_image_input"].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["input_cost_per_token", "output_cost_per_token"], [2e6, 3e6]),
        (["input_per_million", "output_per_million"], [2, 3]),
        (["Input ($ / 1M tokens)", "Output ($ / 1M tokens)"], [2, 3]),
        (["prompt price per 1k", "completion price per 1k"], [2e3, 3e3]),
        (["cost_per_1k_input_tokens", "cost_per_1k_output_tokens"], [2e3, 3e3]),
        (["usd_per_mtok_input", "usd_per_mtok_output"], [2, 3]),
        (["input cost (per 1 million tokens)", "output cost (per 1 million tokens)"], [2, 3]),
        (["input usd / 10,000 tokens", "output usd / 10,000 tokens"], [200, 300]),
        (["cost_per_100000_prompt_tokens", "cost_per_100k_completion_tokens"], [20, 30]),
        (["input_usd_mtok", "output_usd_mtok"], [2, 3]),
        (["price_per_input_token", "price_per_output_token"], [2e6, 3e6]),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", None])
def test_tables_whose_columns_say_what_their_prices_are_for(columns, expected, suffix, tmp_path):
    table = pd.DataFrame([["a", 2.0, 3.0], ["1.10", 2.0, 3.0]], columns=["model", *columns])
    path = tmp_path / f"prices.{suffix}"
    if suffix is None:
        path = table
    elif suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    prices = load_prices(path)
    assert prices.index.tolist() == ["a", "1.10"]
    assert prices.loc["1.10", ["input", "output"]].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "column",
    [
        *("input_per_million_characters", "input_per_1k_words", "usd_per_1k_images"),
        *("usd_per_1000_requests", "latency_per_token", "cache_write_per_million"),
        *("image_input_per_million", "batch_input_per_million", "input_cents_per_1k"),
        *("input", "input_per_minute", "input_tokens", "in_per_million", "price"),
    ],
)
def test_names_that_do_not_say_what_prices_are_for(column):
    table = pd.DataFrame({"model": ["a"], column: [1.0], "output_per_million": [1.0]})
    with pytest.raises(ValueError, match=f"column '{column}' does not say what its prices are for"):
        load_prices(table)


def test_prices_of_requests_and_tiers():
    fields = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    prices = load_prices({"m": fields | {"input_cost_per_request": 0.005}})
    np.testing.assert_allclose(call_costs(prices, [1e6], [0], models=["m"]), [1.005])
    with pytest.raises(ValueError, match="price of input_above_200k of model 'm' is -1"):
        load_prices({"m": fields | {"input_cost_per_token_above_200k_tokens": -1}})
    with pytest.raises(ValueError, match="price of input of model 'm' is -1"):
        call_costs(prices.assign(input=-1), [1], [1], models=["m"])
    with pytest.raises(ValueError, match="`prices` lists 'm' more than once"):
        call_costs(pd.concat([prices, prices]), [1], [1], models=["m"])


def test_a_table_of_two_columns(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("model,usd_per_1k_tokens\nsmall,0.5\nlarge,\n")
    with pytest.warns(UserWarning, match="no price per token for 1 model.*: 'large'"):
        prices = load_prices(path)
    assert prices.loc["small"].tolist() == [500, 500]
    assert prices.loc["large"].isna().all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": {"input": 1, "output": 2}}, "expected LiteLLM's map"),
        ({"a": 0.5}, "expected LiteLLM's map"),
        ([], "expected LiteLLM's map"),
        ({"data": [{"id": "a"}]}, "expected LiteLLM's map"),
        ({"data": OPENROUTER["data"][:1] * 2}, "'org/large' come more than once"),
        ({"a": {"input_cost_per_token": "dear"}}, "of model 'a' is 'dear', which is no price"),
        ({"a": {"input_cost_per_token": True}}, "is True, which is no price"),
        (
            {"a": {"input_cost_per_token": -1, "output_cost_per_token": 1}},
            "input of model 'a' is -",
        ),
        ({"a": {"input_cost_per_token": 1e999, "output_cost_per_token": 1}}, "expected a finite"),
        (
            {"a": {"input_cost_per_token": 1}, "a ": {"input_cost_per_token": 1}},
            "'a' and 'a '|look alike|differ only",
        ),
    ],
)
def test_wrong_lists(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_prices(as_file(content, tmp_path))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"model": ["a"], "price": [1]}, "column 'price' does not say what its prices are for"),
        ({"model": ["a"], "input_per_million": [1]}, "no price of 'output'"),
        ({"name": ["a"], "usd_per_token": [1]}, "needs a column `model`"),
        ({"model": ["a", None], "usd_per_token": [1, 2]}, "without gaps"),
        ({"model": ["a", "a"], "usd_per_token": [1, 2]}, "'a' come more than once"),
        ({"model": ["a"], "usd_per_token": [-1]}, "at least 0"),
        (
            {"model": ["a"], "usd_per_token": [1], "input_per_token": [1]},
            "column 'input_per_token' is a second price of input",
        ),
    ],
)
def test_wrong_tables_of_prices(table, message):
    with pytest.raises(ValueError, match=message):
        load_prices(pd.DataFrame(table))


def test_limits_and_abilities_of_tables():
    table = pd.DataFrame(
        {
            "model": ["a", "b"],
            "usd_per_token": [1, 2],
            "supports_vision": [True, None],
            "max_input_tokens": [8192, None],
        }
    )
    prices = load_prices(table)
    assert prices["supports_vision"].tolist() == [True, False]
    assert (prices["max_input_tokens"] > 1000).tolist() == [True, False]
    with pytest.raises(ValueError, match="column 'max_input_tokens' is not a number in row 0"):
        load_prices(table.assign(max_input_tokens=["128k", "8k"]))


def test_files_of_prices_that_are_not_there_or_not_known(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no prices at"):
        load_prices(tmp_path / "prices.json")
    (tmp_path / "prices.yaml").write_text("a: 1")
    with pytest.raises(ValueError, match=r"prices.yaml: expected a \.json file or a table"):
        load_prices(tmp_path / "prices.yaml")
    (tmp_path / "prices.json").write_text('{"a": {}, "a": {}}')
    with pytest.raises(ValueError, match="'a' comes more than once"):
        load_prices(tmp_path / "prices.json")


@pytest.fixture
def prices():
    return load_prices({name: LITELLM[name] for name in ("org/large", "org/reasons", "org/free")})


def slow_cost(fields, tokens, answered, cached, reasoned):
    """Cost of one call at the prices of LiteLLM's map, one term at a time."""
    tier = "_above_200k_tokens" if tokens > 200_000 else ""
    of_input = fields.get("input_cost_per_token" + tier, fields["input_cost_per_token"])
    of_output = fields.get("output_cost_per_token" + tier, fields["output_cost_per_token"])
    of_cached = fields.get("cache_read_input_token_cost", of_input)
    of_reasoning = fields.get("output_cost_per_reasoning_token", of_output)
    return (
        (tokens - cached) * of_input
        + cached * of_cached
        + (answered - reasoned) * of_output
        + reasoned * of_reasoning
    )


COUNTS = st.tuples(
    st.sampled_from(["org/large", "org/reasons", "org/free"]),
    st.integers(0, 400_000),
    st.integers(0, 9_000),
    st.floats(0, 1),
    st.floats(0, 1),
)


@given(calls=st.lists(COUNTS, min_size=1, max_size=9))
def test_costs_of_calls_term_by_term(calls):
    listed = load_prices({name: LITELLM[name] for name in ("org/large", "org/reasons", "org/free")})
    models, tokens, answered, cached, reasoned = zip(*calls, strict=True)
    cached = np.floor(np.multiply(tokens, cached))
    reasoned = np.floor(np.multiply(answered, reasoned))
    found = call_costs(
        listed, tokens, answered, cached_tokens=cached, reasoning_tokens=reasoned, models=models
    )
    expected = [
        slow_cost(LITELLM[model], *counts)
        for model, *counts in zip(models, tokens, answered, cached, reasoned, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_costs_by_prompt_and_model(prices):
    tokens = np.array([[1e6, 1e6, 1e6], [0, np.nan, 10]])
    answered = np.array([[1e6, 1e6, 1e6], [1e6, 5, 10]])
    expected = [[6 + 22.5, 1 + 2, 0], [15, np.nan, 0]]
    np.testing.assert_allclose(call_costs(prices, tokens, answered), expected)
    names = ["org/free", "org/large", "org/reasons"]
    frames = [
        pd.DataFrame(counts, columns=prices.index, index=["p", "q"])[names]
        for counts in (tokens, answered)
    ]
    # Columns go by name, in the order of the first.
    found = call_costs(prices, frames[0], frames[1][names[::-1]])
    np.testing.assert_allclose(found[prices.index.tolist()], expected)
    assert found.columns.tolist() == names
    assert found.index.tolist() == ["p", "q"]


def test_costs_of_requests(tmp_path):
    prices = load_prices(as_file({"data": OPENROUTER["data"][:2]}, tmp_path))
    found = call_costs(prices, [10, 10], [0, 0], models=["org/large", "org/small:free"])
    np.testing.assert_allclose(found, [0.01003, 0])


def test_models_without_a_price_are_named(prices):
    prices.loc["org/reasons", "output"] = np.nan
    models = ["org/reasons", "org/free", "org/large"]
    with pytest.warns(UserWarning, match=r"no price for model\(s\) 'org/reasons'; the costs of"):
        found = call_costs(prices, [1, 1, np.nan], [1, 1, 1], models=models)
    np.testing.assert_array_equal(found, [np.nan, 0, np.nan])


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        (([1], [1]), {"models": ["large"]}, r"does not list 'large'. 'large' may be 'org/large'"),
        (([1], [1, 2]), {"models": ["org/free"]}, "one entry for each of the 1 calls"),
        (([-1], [1]), {"models": ["org/free"]}, "`input_tokens` must be at least 0; got -1 in row"),
        (([1], [np.inf]), {"models": ["org/free"]}, "infinity"),
        (([1], [1]), {}, "`input_tokens` has one dimension; pass `models`"),
        (([["a"]], [[1]]), {}, "could not convert|must be numbers"),
        (([[1, 2]], [[1, 2]]), {}, "has 2 columns but there are prices of 3 models"),
        (([[1, 2, 3]], [[1, 2, 3]] * 2), {}, r"has shape \(2, 3\) but `input_tokens` has shape"),
        (
            ([1], [1]),
            {"models": ["org/free"], "cached_tokens": [2]},
            "`cached_tokens` are part of `input_tokens`, not more; got 2 in row 0",
        ),
        (
            ([1], [1]),
            {"models": ["org/free"], "reasoning_tokens": [2]},
            "`reasoning_tokens` are part of `output_tokens`",
        ),
    ],
)
def test_wrong_numbers_of_tokens(prices, counts, options, message):
    with pytest.raises(ValueError, match=message):
        call_costs(prices, *counts, **options)


def test_rows_in_another_order_are_refused(prices):
    tokens = pd.Series([1, 2], index=["a", "b"])
    with pytest.raises(ValueError, match="in another order"):
        call_costs(prices, tokens, tokens[::-1], models=["org/free"] * 2)
    with pytest.raises(TypeError, match="as load_prices returns it"):
        call_costs({"a": 1}, [1], [1], models=["a"])


def test_tables_beside_arrays_in_another_order_are_refused():
    listed = load_prices({name: LITELLM[name] for name in ("org/large", "org/free")})
    tokens = pd.DataFrame([[1e6, 2e6]], columns=["org/free", "org/large"])
    with pytest.raises(ValueError, match="`output_tokens` has no names of models"):
        call_costs(listed, tokens, np.zeros((1, 2)))
    found = call_costs(listed, tokens[["org/large", "org/free"]], np.zeros((1, 2)))
    expected = call_costs(listed, tokens, 0 * tokens)
    pd.testing.assert_frame_equal(found, expected[found.columns])
