import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_uniroute import KMeansRouter
from tests.routers.test_cascade import TEST, fit


def serve(table, x, scores, **params):
    """Go through the steps of one request; each step takes the way over JSON."""
    step = table.first(x, **params)
    while step["ask"] is not None:
        assert step["keep"] is None
        step = json.loads(json.dumps(step))
        step = table.next(step, scores[step["ask"]] if step["check"] else None)
    return step


@pytest.mark.parametrize("max_calls", [1, 2, 3])
def test_tables_choose_as_the_cascade_does(scored_log, max_calls):
    log = scored_log
    cascade = fit(log, max_calls=max_calls, check_cost=0.2)
    table = cascade.routing_table(cost_weight=0.002)
    curve = cascade.simulate(log.X[TEST], log.y[TEST], scores=log.scores[TEST], cost_weight=0.002)
    steps = [serve(table, *row) for row in zip(log.X[TEST], log.scores[TEST], strict=True)]
    quality = np.mean([row[step["keep"]] for row, step in zip(log.y[TEST], steps, strict=True)])
    assert curve.quality == pytest.approx([quality])
    assert curve.n_calls == pytest.approx([np.mean([len(step["asked"]) for step in steps])])
    first = [table.first(x)["ask"] for x in log.X[TEST][:50]]
    assert first == cascade.first(log.X[TEST][:50], cost_weight=0.002).tolist()


def test_tables_without_evidence_route(scored_log):
    log = scored_log
    flat = type(log)(**{**log, "scores": np.ones(log.y.shape)})
    with pytest.warns(UserWarning, match="say nothing"):
        cascade = fit(flat)
    table = cascade.routing_table(cost_weight=0.002)
    steps = [serve(table, *row) for row in zip(log.X[TEST], log.scores[TEST], strict=True)]
    expected = cascade.router_.predict(log.X[TEST], cost_weight=0.002)
    assert [step["keep"] for step in steps] == expected.tolist()
    assert steps[0]["asked"] == [expected[0]]


def test_excluded_models_are_never_asked(scored_log):
    log = scored_log
    table = fit(log).routing_table(cost_weight=0.0005)
    asked = {
        model
        for row in zip(log.X[TEST][:100], log.scores[TEST][:100], strict=True)
        for model in serve(table, *row, exclude=[4, 5])["asked"]
    }
    assert asked <= {0, 1, 2, 3}
    only = serve(table, log.X[0], log.scores[0], exclude=[0, 1, 2, 3, 4])
    assert only["keep"] == 5
    with pytest.raises(ValueError, match="no model"):
        table.first(log.X[0], exclude=range(6))


def test_tables_never_change(scored_log):
    log = scored_log
    cascade = fit(log)
    table = cascade.routing_table(cost_weight=0.002)
    before = [table.first(x) for x in log.X[TEST][:20]]
    cascade.router_.set_cost(0, 1000.0)
    assert [table.first(x) for x in log.X[TEST][:20]] == before
    with pytest.raises(AttributeError, match="never changes"):
        table.max_calls = 5
    with pytest.raises(AttributeError, match="never changes"):
        del table.max_calls
    assert repr(table) == "<CascadeTable of 6 models, max_calls=2, cost_weight=0.002>"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(table.first, log.X[TEST][:20])) == before


def test_bad_steps_are_refused(scored_log):
    log = scored_log
    table = fit(log).routing_table(cost_weight=0.002)
    step = table.first(log.X[0])
    for bad, score, message in (
        ({}, 1.0, "must be a step"),
        (None, 1.0, "must be a step"),
        ({**step, "ask": None, "keep": 3}, 1.0, "answer of 3 is to be kept"),
        ({**step, "ask": 17}, 1.0, "17, which this table does not know"),
        ({"ask": 3}, 1.0, "of another table, None"),
        (step, np.inf, "infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            table.next(bad, score)
    with pytest.raises(ValueError, match="shape"):
        table.first(log.X[0][:3])
    # No score is as good as NaN.
    assert table.next(step, None) == table.next(step, np.nan)


def test_steps_of_another_table_are_refused(scored_log):
    log = scored_log
    cascade = fit(log)
    step = cascade.routing_table(cost_weight=0.002).first(log.X[0])
    same, other = (cascade.routing_table(cost_weight=weight) for weight in (0.002, 0.003))
    assert same.next(step, 0.5)["table"] == same.version == step["table"]
    small = cascade.routing_table([0, 1, 2], cost_weight=0.002)
    cascade.router_.set_cost(0, 1000.0)
    for table in (other, small, cascade.routing_table(cost_weight=0.002)):
        with pytest.raises(ValueError, match="is of another table"):
            table.next(step, 0.5)


def test_a_model_that_was_never_asked_is_never_kept(scored_log):
    log = type(scored_log)(**scored_log)
    log.y = log.y.copy()
    log.y[:, 1] = 0
    table = fit(log, check_cost=0.1).routing_table(cost_weight=1.0)
    for x in log.X[TEST][:200]:
        step = table.next(table.first(x, exclude=[0, 2, 3, 4, 5]))
        assert (step["keep"], step["asked"]) == (1, [1])


def test_excluding_models_is_like_a_smaller_pool(scored_log):
    log = scored_log
    cascade = fit(log)
    whole = cascade.routing_table(cost_weight=0.002)
    small = cascade.routing_table([0, 1, 2, 3], cost_weight=0.002)
    for x, scores in zip(log.X[TEST][:200], log.scores[TEST], strict=False):
        one, other = serve(whole, x, scores, exclude=[4, 5]), serve(small, x, scores)
        assert (one["keep"], one["asked"]) == (other["keep"], other["asked"])


def test_far_prompts_go_by_errors_if_the_fallback_is_excluded(scored_log):
    log = scored_log
    router = KMeansRouter(6, fallback=5, far_share=0.3, random_state=0)
    cascade = fit(log, router=router)
    table = cascade.routing_table(cost_weight=0.0005)
    far = log.X[TEST][cascade.router_.predict(log.X[TEST], cost_weight=1e9) == 5]
    assert len(far) > 20
    found = [table.first(x, exclude={5})["ask"] for x in far]
    assert len(set(found)) > 1
    plain = fit(log, router=clone(router).set_params(fallback=None))
    others = plain.routing_table(cost_weight=0.0005)
    assert np.mean([others.first(x, exclude={5})["ask"] for x in far] == np.array(found)) > 0.9
