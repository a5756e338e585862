import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from sklearn_uniroute import AttributeEncoder, KMeansRouter, ZeroRouter
from sklearn_uniroute.datasets import make_routing_data
from tests.all_routers import ROUTERS


@pytest.fixture
def annotations(data):
    """Three attributes that hold in some of the latent clusters each."""
    return np.stack([data.source < 3, data.source % 2 == 0, data.source == 5], axis=1)


def test_each_attribute_has_a_logistic_head(data, annotations):
    encoder = AttributeEncoder().fit(data.X, annotations)
    probabilities = encoder.transform(data.X)
    for column, truth in enumerate(annotations.T):
        head = LogisticRegression().fit(data.X, truth)
        np.testing.assert_allclose(probabilities[:, column], head.predict_proba(data.X)[:, 1])
    single = encoder.transform(data.X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, probabilities, atol=1e-5)


def test_any_two_values_will_do(data, annotations):
    expected = AttributeEncoder().fit(data.X, annotations).transform(data.X)
    for values in (annotations.astype(int), np.where(annotations, "yes", "no")):
        np.testing.assert_allclose(
            AttributeEncoder().fit(data.X, values).transform(data.X), expected
        )
    single = AttributeEncoder().fit(data.X, annotations[:, 1]).transform(data.X)
    np.testing.assert_allclose(single, expected[:, 1:2])


def test_names_come_from_a_data_frame(data, annotations):
    frame = pd.DataFrame(annotations, columns=["code", "maths", "long"])
    encoder = AttributeEncoder().set_output(transform="pandas").fit(data.X, frame)
    assert encoder.transform(data.X).columns.tolist() == ["code", "maths", "long"]
    plain = AttributeEncoder().fit(data.X, annotations)
    assert plain.get_feature_names_out().tolist() == ["attribute0", "attribute1", "attribute2"]


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_frozen_in_front_of_any_router(data, annotations, router):
    encoder = AttributeEncoder().fit(data.X[:300], annotations[:300])
    parameter = {f"{type(router).__name__.lower()}__costs": data.costs}
    pipeline = make_pipeline(FrozenEstimator(encoder), router).fit(data.X, data.y, **parameter)
    alone = clone(router).fit(encoder.transform(data.X), data.y, costs=data.costs)
    np.testing.assert_array_equal(
        pipeline.predict(data.X), alone.predict(encoder.transform(data.X))
    )


def test_attributes_within_a_pipeline_are_not_the_correctness(data, annotations):
    pipeline = make_pipeline(AttributeEncoder(), KMeansRouter(4, random_state=0))
    pipeline.fit(
        data.X,
        data.y,
        attributeencoder__attributes=annotations,
        kmeansrouter__costs=data.costs,
    )
    assert len(pipeline[0].attributes_) == 3
    np.testing.assert_array_equal(
        pipeline[0].transform(data.X),
        AttributeEncoder().fit(data.X, annotations).transform(data.X),
    )


def test_attributes_are_split_by_cross_validation(data, annotations):
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(AttributeEncoder(), KMeansRouter(random_state=0))
        search = GridSearchCV(pipeline, {"kmeansrouter__n_clusters": [2, 4]}, cv=3)
        search.fit(data.X, data.y, attributes=annotations, costs=data.costs)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_attributes_hold_up_where_embeddings_drift():
    # What decides who is right is an attribute; the prompts to route are elsewhere.
    data = make_routing_data(n_prompts=1500, n_models=4, random_state=0)
    hard = data.X[:, 0] > 0
    y = np.stack([~hard, np.ones(1500, bool)], axis=1).astype(float)
    shift = np.append(0.0, np.full(15, 4.0))
    X_new = -data.X * np.append(-1.0, np.ones(15)) + shift
    encoder = AttributeEncoder(LogisticRegression(C=100)).fit(data.X, hard[:, None])
    scores = [
        make_pipeline(*before, KMeansRouter(4, random_state=0))
        .fit(data.X, y, kmeansrouter__costs=[1.0, 10.0])
        .score(X_new, y)
        for before in ([FrozenEstimator(encoder)], [])
    ]
    assert scores[0] > scores[1]


def test_another_classifier_and_a_round_trip(data, annotations):
    encoder = AttributeEncoder(DecisionTreeClassifier(max_depth=2, random_state=0))
    encoder.fit(data.X, annotations)
    file = skops.io.dumps(encoder)
    trusted = skops.io.get_untrusted_types(data=file)
    assert trusted == [
        "sklearn.tree._tree.Tree",
        "sklearn_uniroute.AttributeEncoder",
    ]
    np.testing.assert_array_equal(
        skops.io.loads(file, trusted=trusted).transform(data.X), encoder.transform(data.X)
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (lambda a: a[:, :0], "no columns"),
        (lambda a: a[:-1], "399 rows but there are 400"),
        (lambda a: np.zeros_like(a), "attribute0 takes 1 different values"),
        (lambda a: np.arange(len(a))[:, None], "attribute0 takes 400 different values"),
        (lambda a: np.where(a, 1.0, np.nan), "NaN"),
        (lambda a: None, "requires y to be passed"),
    ],
)
def test_bad_attributes(data, annotations, attributes, message):
    with pytest.raises(ValueError, match=message):
        AttributeEncoder().fit(data.X, attributes(annotations))


def test_routers_after_it_see_attributes_only(data, annotations):
    encoder = AttributeEncoder().fit(data.X, annotations)
    pipeline = make_pipeline(FrozenEstimator(encoder), ZeroRouter()).fit(data.X, data.y)
    assert pipeline[-1].n_features_in_ == 3


def test_rows_masks_and_prompts_of_an_encoder(data):
    X = pd.DataFrame(data.X, index=[f"p{row}" for row in range(400)], columns=list("vwxyz"))
    attributes = pd.DataFrame({"large": data.X[:, 0] > 0}, index=X.index)
    encoder = AttributeEncoder().fit(X, attributes)
    with pytest.raises(ValueError, match="in another order"):
        AttributeEncoder().fit(X, attributes[::-1])
    masked = np.ma.masked_array(attributes.to_numpy(), data.X[:, :1] > 1)
    with pytest.raises(ValueError, match="attributes have masked cells"):
        AttributeEncoder().fit(data.X, masked)
    plain = AttributeEncoder().fit(data.X, attributes.to_numpy())
    with pytest.raises(ValueError, match="contains NaN"):
        plain.transform(np.ma.masked_array(data.X, data.X > 1))
    assert encoder.transform(X).shape == (400, 1)
