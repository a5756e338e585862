import re
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import KMeansRouter, ZeroRouter
from sklearn_uniroute.utils._router_checks import grown
from tests.all_routers import ROUTERS


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_frames_have_mean_costs_and_errors(router, data):
    router = grown(router, data)
    frame = router.pool_frame()
    assert frame.index.name == "model"
    assert frame.index.tolist() == list(range(8))
    np.testing.assert_array_equal(frame["cost"], router.costs_)
    known = data.X[:300] if hasattr(router, "cluster_shares_") else router.X_val_
    np.testing.assert_allclose(frame["error"], router.predict_error(known).mean(axis=0), atol=1e-6)


def test_frames_without_costs_and_by_name(data):
    y = pd.DataFrame(data.y[:, :2], columns=["small", "large"])
    frame = ZeroRouter().fit(data.X, y).pool_frame()
    assert frame.columns.tolist() == ["error"]
    np.testing.assert_allclose(frame["error"], 1 - y.mean())
    with pytest.raises(NotFittedError):
        ZeroRouter().pool_frame()


def test_notebooks_show_the_pool(data, monkeypatch):
    y = pd.DataFrame(data.y[:, :2], columns=["small", "<b>large</b>"])
    router = ZeroRouter()
    plain = router._repr_html_()
    assert "<th>error</th>" not in plain
    router.fit(data.X, y, costs=[0.125, 12345.678])
    for html in (router._repr_html_(), router._repr_mimebundle_()["text/html"]):
        table = re.sub(r">\s+<", "><", html[html.rindex("<table") :])
        assert "<th>cost</th><th>error</th>" in table
        error = 1 - data.y[:, 0].mean()
        assert f"<th>small</th><td>0.125</td><td>{error:.4g}</td>" in table
        assert "<th>&lt;b&gt;large&lt;/b&gt;</th><td>1.235e+04</td>" in table
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        assert "<th>&lt;b&gt;large" not in router._repr_html_()
    with config_context(display="text"):
        assert not hasattr(router, "_repr_html_")
        assert "text/html" not in router._repr_mimebundle_()


def test_large_pools_are_cut(data):
    y = np.random.RandomState(0).randint(2, size=(400, 60))
    html = KMeansRouter(2, random_state=0).fit(data.X, y)._repr_html_()
    assert "<th>24</th>" in html
    assert "<th>25</th>" not in html
    assert "<th>59</th>" in html


def test_pipelines_show_as_they_do(data):
    pipeline = make_pipeline(StandardScaler(), KMeansRouter(2, random_state=0))
    assert "KMeansRouter" in pipeline.fit(data.X, data.y)._repr_html_()
