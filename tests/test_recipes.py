import asyncio
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import openai
import pandas as pd
import pytest
import requests
import uvicorn
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sklearn_uniroute import CascadeRouter, KMeansRouter

TOPICS = {"sum": "please add these numbers", "poem": "write some verses on love"}
PRICES = {"small": 1.0, "poet": 2.0, "large": 10.0}


@pytest.fixture(scope="module")
def gateway():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "docs" / "recipes")
        import gateway

        yield gateway
    del sys.modules["gateway"]


@pytest.fixture(scope="module")
def texts():
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return [
        f"{text} {word} {other}" for text in TOPICS.values() for word in words for other in words
    ]


@pytest.fixture(scope="module")
def embed(texts):
    pipeline = make_pipeline(TfidfVectorizer(), TruncatedSVD(4, random_state=0)).fit(texts)
    return lambda text: pipeline.transform([text])[0]


@pytest.fixture
def router(texts, embed):
    """Small can do sums, the poet verses, and large both."""
    verses = np.arange(200) >= 100
    y = pd.DataFrame({"small": ~verses, "poet": verses, "large": True}).astype(float)
    X = np.array([embed(text) for text in texts])
    return KMeansRouter(2, random_state=0).fit(X, y, costs=PRICES)


@pytest.fixture
def path(gateway, router, tmp_path):
    path = tmp_path / "table.npz"
    gateway.publish(router, PRICES, path, cost_weight=0.05, embedder="tfidf")
    return path


def call(model, prompt):
    return f"{model}: {prompt}"


def test_prompts_go_where_they_should(gateway, embed, path):
    table = gateway.CurrentTable(path, "tfidf").get()
    for text, model in zip(TOPICS.values(), ("small", "poet"), strict=True):
        assert gateway.answer(text, table, embed, call) == (model, f"{model}: {text}")


def test_models_that_are_down(gateway, embed, path):
    table = gateway.CurrentTable(path, "tfidf").get()
    asked = []

    def flaky(model, prompt):
        asked.append(model)
        if model != "large":
            raise ConnectionError(model)
        return "done"

    assert gateway.answer(TOPICS["sum"], table, embed, flaky) == ("large", "done")
    assert asked == ["small", "large"]
    model, _ = gateway.answer(TOPICS["sum"], table, embed, call, down={"small", "large"})
    assert model == "poet"

    def dead(model, prompt):
        raise ConnectionError(model)

    for down in ((), PRICES):
        with pytest.raises(ConnectionError, match=r"none .* answers: small, poet, large"):
            gateway.answer(TOPICS["sum"], table, embed, dead, down=down)
    assert gateway.answer(TOPICS["sum"], table, embed, call, down={"removed"})[0] == "small"


def test_a_new_file_is_read_and_a_bad_one_is_not(gateway, router, embed, path, caplog):
    current = gateway.CurrentTable(path, "tfidf")
    first = current.get()
    assert current.get() is first
    gateway.publish(router, {"small": 100.0}, path, cost_weight=0.05, embedder="tfidf")
    second = current.get()
    assert second is not first
    assert gateway.answer(TOPICS["sum"], second, embed, call)[0] == "large"
    assert gateway.answer(TOPICS["sum"], first, embed, call)[0] == "small"
    for content in (b"", path.read_bytes()[:-50]):
        path.write_bytes(content)
        assert current.get() is second
        assert "the new routing table is not used" in caplog.text
        caplog.clear()
        current.get()
        assert not caplog.text
    gateway.publish(router, {}, path, cost_weight=0.05, embedder="other")
    assert current.get() is second
    assert "`embedder` should be 'tfidf'" in caplog.text
    path.unlink()
    assert current.get() is second
    assert "cannot be read now" in caplog.text
    gateway.publish(router, {}, path, cost_weight=0.05, embedder="tfidf")
    # Not before the time to try again.
    assert current.get() is second
    current._next_try = 0
    assert current.get() is not second


def test_a_file_that_cannot_be_read_for_a_moment_is_read_later(
    gateway, router, path, monkeypatch, caplog
):
    current = gateway.CurrentTable(path, "tfidf", retry_after=0)
    first = current.get()
    gateway.publish(router, {"small": 100.0}, path, cost_weight=0.05, embedder="tfidf")

    def fail(*_, **__):
        raise OSError("the share is down")

    with monkeypatch.context() as patch:
        patch.setattr(gateway.RoutingTable, "load", fail)
        assert current.get() is first
    assert "the share is down" in caplog.text
    assert current.get() is not first


class Server:
    """A server on this machine whose models answer, fail, limit the rate, or are slow."""

    def __init__(self):
        self.status = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = {"interface": "asgi3", "log_level": "critical", "lifespan": "off"}
        config = uvicorn.Config(self.app, port=self.port, **options)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)

    def url(self, model):
        return f"http://127.0.0.1:{self.port}/{model}"

    async def app(self, scope, receive, send):
        model = scope["path"].split("/")[1]
        status = self.status.get(model, 200)
        if status == "slow":
            await asyncio.sleep(1)
            status = 200
        body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": model}}]}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()


def by_httpx(url, prompt):
    response = httpx.post(url, json=prompt, timeout=0.3, trust_env=False)
    return response.raise_for_status().json()["choices"][0]["message"]["content"]


def by_requests(url, prompt):
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, json=prompt, timeout=0.3)
    response.raise_for_status()
    return response.json()["choices"][0]["message"]["content"]


def by_openai(url, prompt):
    plain = httpx.Client(trust_env=False)
    with openai.OpenAI(
        base_url=url, api_key="none", max_retries=0, timeout=0.3, http_client=plain
    ) as client:
        messages = [{"role": "user", "content": prompt}]
        answer = client.chat.completions.create(model="any", messages=messages)
    return answer.choices[0].message.content


@pytest.mark.parametrize("ask", [by_httpx, by_requests, by_openai])
def test_it_fails_over_on_errors_of_real_clients(gateway, embed, path, ask, caplog):
    table = gateway.CurrentTable(path, "tfidf").get()
    with Server() as server:

        def call(model, prompt):
            url = "http://127.0.0.1:9" if server.status.get(model) == "gone" else server.url(model)
            return ask(url, prompt)

        assert gateway.answer(TOPICS["sum"], table, embed, call) == ("small", "small")
        for status in (500, 503, 429, 408, "slow", "gone"):
            server.status = {"small": status}
            assert gateway.answer(TOPICS["sum"], table, embed, call) == ("large", "large")
            assert "small is out" in caplog.text
            caplog.clear()
        server.status = dict.fromkeys(PRICES, 500)
        with pytest.raises(ConnectionError, match="none of these models answers"):
            gateway.answer(TOPICS["sum"], table, embed, call)
        # What is wrong in itself is wrong everywhere.
        for status in (400, 401, 404):
            server.status = {"small": status}
            with pytest.raises(Exception, match=str(status)):
                gateway.answer(TOPICS["sum"], table, embed, call)
    with pytest.raises(KeyError):
        gateway.answer(TOPICS["sum"], table, embed, lambda model, prompt: {}[model])


def test_threads_share_the_current_table(gateway, router, embed, path):
    current = gateway.CurrentTable(path, "tfidf")
    chosen, stop = set(), threading.Event()
    x = embed(TOPICS["sum"])

    def route():
        while not stop.is_set():
            chosen.add(current.get().route(x))

    threads = [threading.Thread(target=route) for _ in range(3)]
    for thread in threads:
        thread.start()
    for price in (100.0, 1.0) * 20:
        gateway.publish(router, {"small": price}, path, cost_weight=0.05, embedder="tfidf")
    stop.set()
    for thread in threads:
        thread.join()
    assert chosen <= {"small", "large"}
    assert "small" in chosen


@pytest.mark.slow
def test_litellm(gateway, router, embed, path, monkeypatch):
    monkeypatch.setitem(os.environ, "LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm
    from gateway_litellm import RoutingTableStrategy

    deployments = [
        {
            "model_name": "auto",
            "litellm_params": {
                "model": f"openai/{name}",
                "api_key": "none",
                "mock_response": f"{name} says",
            },
            "model_info": {"id": name},
        }
        for name in PRICES
    ]
    llms = litellm.Router(model_list=deployments, num_retries=2, retry_after=0)
    llms.set_custom_routing_strategy(
        RoutingTableStrategy(llms, gateway.CurrentTable(path, "tfidf"), embed)
    )

    def ask(text):
        messages = [{"role": "user", "content": text}]
        answers = [
            llms.completion(model="auto", messages=messages),
            asyncio.run(llms.acompletion(model="auto", messages=messages)),
        ]
        return [one.choices[0].message.content for one in answers]

    assert ask(TOPICS["sum"]) == ["small says"] * 2
    assert ask(TOPICS["poem"]) == ["poet says"] * 2
    # A deployment that fails is left out when the request is tried again.
    llms.model_list[0]["litellm_params"]["mock_response"] = "litellm.RateLimitError"
    assert ask(TOPICS["sum"]) == ["large says"] * 2
    # Messages may come in parts, and have no text at all.
    parts = [{"type": "text", "text": TOPICS["poem"]}, {"type": "image_url", "image_url": {}}]
    assert ask(parts) == ["poet says"] * 2
    assert ask([{"type": "text", "text": TOPICS["poem"]}]) == ["poet says"] * 2
    assert all(answer.endswith(" says") for answer in ask("") + ask(None))
    # Another group is not answered by models of this one.
    alone = {**deployments[2], "model_name": "best", "model_info": {"id": "other"}}
    alone["litellm_params"] = {**alone["litellm_params"], "mock_response": "other says"}
    llms.add_deployment(litellm.Deployment(**alone))
    messages = [{"role": "user", "content": TOPICS["poem"]}]
    answer = llms.completion(model="best", messages=messages)
    assert answer.choices[0].message.content == "other says"
    # The table may know more models than there are deployments.
    router.add_model(np.zeros(len(router.X_val_)), name="new", cost=0.1)
    gateway.publish(router, {}, path, cost_weight=0.05, embedder="tfidf")
    assert ask(TOPICS["poem"]) == ["poet says"] * 2


@pytest.fixture(scope="module")
def learning():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "docs" / "recipes")
        import gateway_learning

        yield gateway_learning
    del sys.modules["gateway_learning"]


def test_a_job_learns_from_what_came_back(learning, router, texts, embed, tmp_path):
    table = router.routing_table(cost_weight=0.05, exploration=0.2)
    calls, feedback = tmp_path / "calls.jsonl", tmp_path / "feedback.jsonl"
    models = []
    for number, text in enumerate(texts):
        decision = table.route_logged(embed(text), request_id=str(number))
        learning.log_call(calls, embed(text), decision)
        models.append(decision.model)
    assert learning.learn(router, calls, feedback) is router
    expected = router.pool_frame()["n_errors"].to_dict()
    for part in (range(50), range(50, 120)):
        for number in part:
            learning.log_feedback(feedback, str(number), 0.5)
            expected[models[number]] += 1
        router = learning.learn(router, calls, feedback)
        assert router.pool_frame()["n_errors"].to_dict() == expected
        assert not feedback.exists()
    feedback.touch()
    router = learning.learn(router, calls, feedback)
    assert router.pool_frame()["n_errors"].to_dict() == expected


def test_a_call_that_was_retried_counts_for_the_model_that_answered(
    learning, router, embed, tmp_path
):
    calls, feedback = tmp_path / "calls.jsonl", tmp_path / "feedback.jsonl"
    x, table = embed(TOPICS["sum"]), router.routing_table(cost_weight=0.05)
    failed = table.route_logged(x, request_id="0")
    answered = table.route_logged(x, request_id="0", exclude=[failed.model])
    for decision in (failed, answered):
        learning.log_call(calls, x, decision)
    learning.log_feedback(feedback, "0", 1.0)
    learning.log_feedback(feedback, "0", 0.0)
    learned = learning.learn(router, calls, feedback).pool_frame()["n_errors"]
    added = learned - router.pool_frame()["n_errors"]
    assert added[added > 0].to_dict() == {answered.model: 1}
    with pytest.raises(ValueError, match="pass request_id"):
        learning.log_call(calls, x, table.route_logged(x))


def test_damaged_lines_do_not_stop_the_job(learning, router, embed, tmp_path, caplog):
    calls, feedback = tmp_path / "calls.jsonl", tmp_path / "feedback.jsonl"
    decision = router.routing_table(cost_weight=0.05).route_logged(embed("a"), request_id="0")
    learning.log_call(calls, embed("a"), decision)
    feedback.write_text('{"request_id": "0", "err\n')
    assert learning.learn(router, calls, feedback).pool_frame().equals(router.pool_frame())
    assert not feedback.with_suffix(".taken").exists()
    feedback.write_text('torn\n{"request_id": "0", "error": 1.0}\n')
    added = learning.learn(router, calls, feedback).pool_frame()["n_errors"].sum()
    assert added == router.pool_frame()["n_errors"].sum() + 1
    assert "is left out: 'torn" in caplog.text


def test_a_job_that_fails_loses_nothing(learning, router, embed, tmp_path):
    calls, feedback = tmp_path / "calls.jsonl", tmp_path / "feedback.jsonl"
    x = embed(TOPICS["sum"])
    decision = router.routing_table(cost_weight=0.05).route_logged(x, request_id="0")
    learning.log_feedback(feedback, "0", 1.0)
    with pytest.raises(FileNotFoundError):
        learning.learn(router, calls, feedback)
    learning.log_call(calls, x, decision)
    before = router.pool_frame()
    learned = learning.learn(router, calls, feedback, fading=0.9)
    assert learned.predict_error([x], [decision.model]) > router.predict_error(
        [x], [decision.model]
    )
    assert router.pool_frame().equals(before)
    learning.log_feedback(feedback, "0", 1.0)
    learned = learning.learn(router.remove_model(decision.model), calls, feedback)
    assert learned.pool_frame().equals(router.pool_frame())


def test_answers_are_checked(gateway, texts, embed):
    """The check knows a good answer; small answers everything, well or not."""
    verses = np.arange(200) >= 100
    y = pd.DataFrame({"small": ~verses, "poet": verses, "large": True}).astype(float)
    y["small"] = np.random.RandomState(0).binomial(1, 0.6, size=200)
    X = np.array([embed(text) for text in texts])
    scores = y + np.random.RandomState(1).normal(scale=0.1, size=y.shape)
    cascade = CascadeRouter(KMeansRouter(2, random_state=0)).fit(X, y, PRICES, scores=scores)
    table, asked = cascade.routing_table(["small", "large"], cost_weight=0.01), []

    def ask(model, prompt):
        asked.append(model)
        if model in down:
            raise TimeoutError
        return f"{model}: {prompt}"

    down = set()
    for check, models in ((lambda *_: 1.0, ["small"]), (lambda *_: 0.0, ["small", "large"])):
        asked.clear()
        result = gateway.answer_checked(texts[0], table, embed, ask, check)
        assert asked == models
        assert result == (models[-1], f"{models[-1]}: {texts[0]}")
    down.add("small")
    assert gateway.answer_checked(texts[0], table, embed, ask, lambda *_: 1.0)[0] == "large"
    down.add("large")
    with pytest.raises(TimeoutError):
        gateway.answer_checked(texts[0], table, embed, ask, lambda *_: 1.0)
