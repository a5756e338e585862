"""Tables of files and DataFrames, with the same names, index and dtypes however they came."""

import codecs
import io
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.datasets._tables import check_columns, refuse_rows
from sklearn_uniroute.utils._files import check_size, read_gzip, size_limit
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._validation import check_names_differ, listing, repeated

# Columns that `columns` may map, and those of names and texts.
COLUMNS = ("prompt_id", "model", "quality", "cost", "prompt", "source", "embedding")
TEXTS = ("prompt_id", "model", "prompt", "source")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*SEPARATORS, ".jsonl", ".parquet")
# A field that another one equals as a number but not as a text: 007, +7 and -0.
_ODD_INTEGER = re.compile(rb"""[\s,;"'](?:[+-]?0[0-9]|\+|-0)""")
# Names of the columns of RouterBench's wide table.
_ROUTERBENCH = {"sample_id": "prompt_id", "eval_name": "source"}


def suffix_of(path: Path) -> str:
    """Get the suffix that tells how to read a file, without that of gzip."""
    *_, last = ["", *path.suffixes]
    if last.lower() == ".gz":
        last = Path(path.stem).suffix
    return last.lower()


def read_table(path: Path, columns: Mapping[str, str] | None) -> Any:
    """Read the table of a file; `columns` maps names of this package to names of the file."""
    pandas = import_optional("pandas", "pandas")
    names = {(columns or {}).get(name, name) for name in TEXTS}
    suffix = suffix_of(path)
    try:
        if suffix == ".parquet":
            table = _read_parquet(path)
        elif suffix == ".jsonl":
            table = _read_jsonl(path)
        else:
            table = read_csv(path, names, SEPARATORS[suffix])
    except (pandas.errors.EmptyDataError, StopIteration):
        raise ValueError("this table is empty") from None
    # Whatever is wrong with a table, its bytes are to blame.
    except Exception as error:
        raise ValueError(f"pandas cannot read this table: {error}") from error
    return tidy(table, columns)


def as_table(frame: Any, columns: Mapping[str, str] | None) -> Any:
    """Convert a DataFrame of pandas, polars or others to one of pandas that may be changed."""
    import_optional("pandas", "pandas")
    if hasattr(frame, "to_pandas"):
        # polars and others convert through pyarrow.
        import_optional("pyarrow", "pandas")
        frame = frame.to_pandas()
    return tidy(frame.copy(deep=False), columns)


def tidy(table: Any, columns: Mapping[str, str] | None) -> Any:
    """Name the columns, keep the levels of the index that have a meaning, and strip names."""
    if not len(table):
        raise ValueError("this table has no rows")
    if table.columns.nlevels > 1:
        raise ValueError(
            "its columns have several levels, as a pivot of several values has; write one table of "
            "quality, and name columns of costs '<model>|cost'"
        )
    mapped = {ours: theirs.strip() for ours, theirs in (columns or {}).items()}
    table.columns = [re.sub(r"\s*\|\s*", "|", str(name).strip()) for name in table.columns]
    check_columns(table.columns)
    # An index is no model; it may hold the keys of a long table.
    table.index = table.index.set_names([str(name).strip() for name in table.index.names])
    wanted = {mapped.get(name, name) for name in TEXTS}
    keys = [name for name in table.index.names if name in wanted and name not in table]
    if keys:
        table = table.reset_index(level=keys)
    table = table.reset_index(drop=True)
    if mapped.get("embedding", "").endswith("*"):
        table = _with_numbered_embeddings(table, mapped.pop("embedding").removesuffix("*"))
    missing = [name for name in mapped.values() if name not in table]
    if missing:
        raise ValueError(
            f"`columns` names column(s) {listing(missing)}, which the table does not have; it has "
            f"{listing(table.columns, 30)}"
        )
    if any("|model_response" in name for name in table):
        mapped = {ours: theirs for theirs, ours in _ROUTERBENCH.items() if theirs in table} | mapped
    # A column that has the name of another one by `columns` is not what the user means.
    taken = set(mapped) - set(mapped.values())
    table = table.drop(columns=[name for name in table if name in taken])
    table = table.rename(columns={theirs: ours for ours, theirs in mapped.items()})
    for name in TEXTS:
        if name in table and name != "prompt":
            table[name] = encoded_texts(table[name], name)
    if "prompt" in table and table["prompt"].dtype != "str":
        # Arrays of Arrow do not compare missing texts.
        texts = table["prompt"].astype(object)
        refuse_rows(texts.map(np.ndim) > 0, "prompt", "is a list; convert it to a text")
        table["prompt"] = texts.where(texts.notna(), None)
    categories = [name for name in table if table[name].dtype == "category" and name not in TEXTS]
    return table.astype(dict.fromkeys(categories, object))


def _with_numbered_embeddings(table: Any, prefix: str) -> Any:
    """Name the columns of a prefix and a number, from 0 or 1 on, x0, x1, ..."""
    rest = {name: name.removeprefix(prefix) for name in table if name.startswith(prefix)}
    number = {name: int(one) for name, one in rest.items() if re.fullmatch("0|[1-9][0-9]*", one)}
    if not number:
        raise ValueError(
            f"`columns` names columns of embeddings '{prefix}*', but the table has no column "
            f"'{prefix}0' or '{prefix}1'; it has {listing(table.columns, 30)}"
        )
    first = min(1, *number.values())
    names = {name: f"x{place - first}" for name, place in number.items()}
    # Columns that have such names themselves are not what the user means.
    ours = re.compile(r"x[0-9]+|embedding")
    taken = [name for name in table if ours.fullmatch(name) and name not in names]
    return table.drop(columns=taken).rename(columns=names)


def check_mapping(columns: Any) -> None:
    """Check that `columns` maps names of this package to different names of the table."""
    if columns is None:
        return
    if not isinstance(columns, Mapping) or not all(
        isinstance(one, str) for one in columns.values()
    ):
        raise TypeError(
            "`columns` must map names of this package to names of the table, such as "
            f"{{'model': 'llm'}}; got {columns!r}"
        )
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ValueError(
            f"`columns` maps {listing(unknown)}; its keys must be among {listing(COLUMNS)}, and "
            "its values are the names in the table"
        )
    if repeated(columns.values()):
        raise ValueError(f"`columns` uses {listing(repeated(columns.values()))} more than once")


def read_csv(path: Path, text_columns: Collection[str], separator: str = ",") -> Any:
    """Read a CSV file, with some columns as texts: "1.10" is not "1.1", and "NA" is a name."""
    pandas = import_optional("pandas", "pandas")
    content = read_gzip(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    check_columns(range(content[: content.find(b"\n")].count(separator.encode()) + 1))
    form = {"sep": separator, "keep_default_na": False, "skipinitialspace": True}
    header = pandas.read_csv(io.BytesIO(content), header=None, nrows=1, dtype=str, **form)
    names = [name.strip() for name in header.iloc[0]]
    check_columns(names)
    empty = {name: ["", "NA", "NaN", "nan", "null"] for name in names if name not in text_columns}
    # By chunks, a column may be numbers here and texts there.
    form |= {"header": 0, "names": names, "index_col": False, "low_memory": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            # To read all of them as texts at once takes several times as long.
            table = pandas.read_csv(io.BytesIO(content), na_values=empty, **form)
            parsed = [
                name
                for name in text_columns
                if name in table and table[name].dtype.kind in "biufcmM"
            ]
            exact = all(table[name].dtype.kind == "i" for name in parsed)
            if parsed and not (exact and _ODD_INTEGER.search(content) is None):
                as_text = pandas.read_csv(
                    io.BytesIO(content), usecols=parsed, dtype=dict.fromkeys(parsed, str), **form
                )
                table[parsed] = as_text[parsed]
        except pandas.errors.ParserWarning:
            raise ValueError("rows have more fields than the header has names") from None
    return table


def _read_jsonl(path: Path) -> Any:
    pandas = import_optional("pandas", "pandas")
    content = read_gzip(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] == b"[":
        raise ValueError("expected one JSON object per line; got an array")
    # Strings stay strings: "1.10" is not 1.1.
    table = pandas.read_json(io.BytesIO(content), lines=True, dtype=False, precise_float=True)
    check_columns(table.columns)
    return table


def _read_parquet(path: Path) -> Any:
    parquet = import_optional("pyarrow.parquet", "pandas")
    arrow = import_optional("pyarrow", "pandas")
    content = path.read_bytes()
    limit = size_limit(len(content))
    with parquet.ParquetFile(io.BytesIO(content)) as file:
        found = file.metadata
        check_columns(range(found.num_columns))
        # Not from the metadata of columns: pyarrow ends the process if they are damaged.
        check_size(8 * found.num_rows * found.num_columns, limit, "this table")
        groups = range(found.num_row_groups)
        size = sum(found.row_group(number).total_byte_size for number in groups)
        check_size(size, limit, "this table")
        # Texts that are repeated are kept once.
        names = [field.name for field in file.schema_arrow if arrow.types.is_string(field.type)]
    with parquet.ParquetFile(io.BytesIO(content), read_dictionary=names) as file:
        columns = file.read()
    # Texts that are no UTF-8, among others, only show when they are used.
    columns.validate(full=True)
    return columns.to_pandas()


def encoded_texts(column: Any, name: str) -> Any:
    """Encode texts by number, with stripped names, which must not become alike by that."""
    pandas = import_optional("pandas", "pandas")
    try:
        codes, known = column.factorize()
    except TypeError:
        raise ValueError(f"column {name!r} holds lists or objects; convert them to texts") from None
    known = pandas.Index(known, dtype=object) if known.dtype == "category" else pandas.Index(known)
    if name == "model" and any(isinstance(value, str) for value in known):
        check_names_differ(known.tolist(), "column 'model'")
    if known.dtype == "str":
        stripped = known.str.strip()
    else:
        cells = [value.strip() if isinstance(value, str) else value for value in known]
        stripped = pandas.Index(cells, dtype=object)
    if not stripped.is_unique:
        raise ValueError(
            f"column {name!r} has {listing(repeated(stripped.tolist()), 3)} with and without spaces"
        )
    alike = repeated(map(str, stripped)) if stripped.dtype == object else []
    if alike:
        raise ValueError(f"column {name!r} has {listing(alike, 3)} as numbers and as texts")
    encoded = pandas.Categorical.from_codes(codes, stripped.astype(object))
    return pandas.Series(encoded, index=column.index)
