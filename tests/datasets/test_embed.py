import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_uniroute.datasets import embed_prompts

TEXTS = [f"prompt {'x' * number}" for number in range(10)]


class Encoder:
    """Lengths of texts and of their first words, and a count of what it was asked."""

    def __init__(self, fail_at=None):
        self.batches = []
        self.fail_at = fail_at

    def __call__(self, texts):
        if len(self.batches) == self.fail_at:
            raise RuntimeError("out of memory")
        self.batches.append(len(texts))
        return np.array([[len(text), text.find(" ")] for text in texts], dtype=np.float32)


EXPECTED = np.array([[7 + number, 6] for number in range(10)], dtype=np.float32)


@pytest.mark.parametrize(("batch_size", "batches"), [(4, [4, 4, 2]), (10, [10]), (256, [10])])
def test_prompts_are_embedded_in_batches(batch_size, batches):
    encoder = Encoder()
    X = embed_prompts(TEXTS, encoder, batch_size=batch_size)
    assert_array_equal(X, EXPECTED)
    assert X.dtype == np.float32
    assert encoder.batches == batches


def test_transformers_encode_and_progress_sees_all_batches():
    seen = []

    def progress(batches):
        seen.extend(batches)
        return batches

    X = embed_prompts(TEXTS, FunctionTransformer(Encoder()), batch_size=4, progress=progress)
    assert_array_equal(X, EXPECTED)
    assert [len(batch) for batch in seen] == [4, 4, 2]


def test_half_precision_becomes_single():
    X = embed_prompts(TEXTS, lambda texts: np.ones((len(texts), 3), dtype=np.float16))
    assert X.dtype == np.float32


def test_batches_are_kept_and_a_broken_run_goes_on(tmp_path):
    settings = {"batch_size": 4, "memory": str(tmp_path), "encoder_name": "lengths"}
    with pytest.raises(RuntimeError, match="out of memory"):
        embed_prompts(TEXTS, Encoder(fail_at=2), **settings)
    encoder = Encoder()
    assert_array_equal(embed_prompts(TEXTS, encoder, **settings), EXPECTED)
    assert encoder.batches == [2]
    # Another name is another encoder.
    embed_prompts(TEXTS, encoder, **settings | {"encoder_name": "others"})
    assert encoder.batches == [2, 4, 4, 2]


@pytest.mark.parametrize(
    ("texts", "encoder", "options", "error", "message"),
    [
        ([], Encoder(), {}, ValueError, "at least one string; got an empty sequence"),
        ("one prompt", Encoder(), {}, ValueError, "got one string, 'one prompt'"),
        (["a", None], Encoder(), {}, ValueError, "got None at position 1"),
        (TEXTS, "minilm", {}, TypeError, "`encoder` must be a callable"),
        (TEXTS, Encoder(), {"batch_size": 0}, ValueError, "batch_size"),
        (TEXTS, Encoder(), {"memory": "folder"}, ValueError, "pass `encoder_name`"),
        (TEXTS, CountVectorizer(), {}, NotFittedError, "not fitted"),
        (TEXTS, CountVectorizer().fit(TEXTS), {}, ValueError, "TruncatedSVD"),
        (
            TEXTS,
            lambda texts: np.ones((len(texts), len(texts))),
            {"batch_size": 6},
            ValueError,
            r"rows of \[4, 6\] features",
        ),
        (TEXTS, lambda texts: np.ones((3, 2)), {}, ValueError, "3 rows for 10 texts"),
        (TEXTS, lambda texts: np.full((len(texts), 2), np.nan), {}, ValueError, "NaN"),
        (TEXTS, lambda texts: np.ones(len(texts)), {}, ValueError, "2D array"),
    ],
)
def test_bad_input_is_refused(texts, encoder, options, error, message):
    with pytest.raises(error, match=message):
        embed_prompts(texts, encoder, **options)


def test_encoders_in_the_cache_are_told_apart_by_their_state(tmp_path):
    texts = ["prove a theorem", "write a haiku", "sort a list", "sort a theorem"]

    def encoder(fitted_on, n_components=2):
        svd = TruncatedSVD(n_components, random_state=0)
        return make_pipeline(TfidfVectorizer(), svd).fit(fitted_on)

    encoders = [encoder(texts), encoder(texts[1:]), encoder(texts, 3)]
    for _ in range(2):
        for one in encoders:
            # All have one name.
            X = embed_prompts(texts, one, memory=str(tmp_path), encoder_name="tfidf")
            assert_array_equal(X, embed_prompts(texts, one))
    location = tmp_path / "joblib"
    assert len(list(location.rglob("output.pkl"))) == len(encoders)


def test_weights_of_torch_modules_tell_them_apart(tmp_path):
    class Model(torch.nn.Module):
        def __init__(self, dtype=torch.float32):
            super().__init__()
            self.layer = torch.nn.Linear(1, 2, dtype=dtype)

        def encode(self, texts):
            lengths = torch.tensor([[len(text)] for text in texts], dtype=self.layer.weight.dtype)
            return self.layer(lengths)

    for dtype in (torch.float32, torch.bfloat16):
        model = Model(dtype)
        X = embed_prompts(TEXTS, model.encode, memory=str(tmp_path))
        assert X.dtype == np.float32
        with torch.no_grad():
            model.layer.weight.add_(1)
        changed = embed_prompts(TEXTS, model.encode, memory=str(tmp_path))
        assert (changed != X).any()
        assert_array_equal(changed, embed_prompts(TEXTS, model.encode))


def test_settings_of_torch_modules_tell_them_apart(tmp_path):
    class Model(torch.nn.Module):
        def __init__(self, before):
            super().__init__()
            self.before = before

        def encode(self, texts):
            return torch.tensor([[float(len(self.before + text))] for text in texts])

    for before in ("", "query: "):
        X = embed_prompts(["a"], Model(before).encode, memory=str(tmp_path))
        assert X.tolist() == [[len(before) + 1.0]]


def test_encoders_that_cannot_be_hashed_need_a_name(tmp_path):
    encoder = FunctionTransformer(lambda texts: np.ones((len(texts), 1)))
    with pytest.raises(ValueError, match="cannot tell the version of this encoder"):
        embed_prompts(TEXTS, encoder, memory=str(tmp_path))
    X = embed_prompts(TEXTS, encoder, memory=str(tmp_path), encoder_name="ones", progress=None)
    assert X.shape == (10, 1)
