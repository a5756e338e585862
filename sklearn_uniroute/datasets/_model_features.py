"""Tables of what the cards of models say."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.datasets._readers import read_csv
from sklearn_uniroute.datasets._tables import naming, numbers, once, refuse_rows, texts
from sklearn_uniroute.utils._files import check_regular
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import check_names_differ, listing, repeated


def load_model_features(path: StrPath) -> Any:
    r"""Load a table of numbers on the cards of models.

    Parameters
    ----------
    path : str or path-like
        Path of the file, which is one of

        - a CSV file with a column `model` and one column for each feature;
        - a JSON file with an object for each model: a list of objects with an entry `model`, or an
          object of such objects by the names of the models.

        A feature that is missing, empty or null is not known.

    Returns
    -------
    model_features : DataFrame of shape (n_models, n_model_features)
        Numbers, indexed by the names of the models, for `fit` and `add_model` of routers over
        clusters. NaN where a feature is not known.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file has neither form, if a value is no finite number, or if a model comes twice.
        The message names the column and the row, counted from 0.
    ImportError
        If pandas is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_uniroute.datasets import load_model_features
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "cards.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("model,mmlu,ifeval\nsmall,0.61,0.5\nlarge,0.88,\n")
    ...     cards = load_model_features(path)
    >>> cards.loc["large"].to_dict()
    {'mmlu': 0.88, 'ifeval': nan}
    """
    pandas = import_optional("pandas", "pandas")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there are no features of models at {path}")
    check_regular(path)
    with naming(path):
        if path.suffix.lower() == ".csv":
            table = read_csv(path, ("model",))
        elif path.suffix.lower() == ".json":
            table = pandas.DataFrame(_records(path))
        else:
            raise ValueError("expected a file that ends in .csv or .json")
        names = [name for name in table.columns if name != "model"]
        if "model" not in table.columns or not names or "" in names:
            raise ValueError(
                "expected a column `model` and columns of features, all with names; got "
                f"{listing(table.columns)}"
            )
        if not len(table):
            raise ValueError("this table has no rows")
        refuse_rows(table["model"].astype(str).str.strip() == "", "model", "is empty")
        models = [name.strip() for name in texts(table["model"], "model")]
        if repeated(models):
            raise ValueError(f"model(s) {listing(repeated(models))} come more than once; keep one")
        check_names_differ(models, "the rows")
        features = {name: numbers(table, name) for name in names}
        for name, values in features.items():
            refuse_rows(np.isinf(values), name, "is infinite")
    index = pandas.Index(np.array(models, dtype=object), name="model")
    return pandas.DataFrame(features, index=index)


def _records(path: Path) -> list[dict[str, Any]]:
    """Read one object for each model."""
    content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    if isinstance(content, dict) and all(isinstance(one, dict) for one in content.values()):
        other = [name for name, one in content.items() if one.get("model", name) != name]
        if other:
            raise ValueError(f"the object of model {other[0]!r} names another model; keep one name")
        content = [{**one, "model": name} for name, one in content.items()]
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise ValueError("expected an object for each model, in a list or by the model's name")
    return content
