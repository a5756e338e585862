import json
import re
import subprocess
import sys

import numpy as np
import pytest

import sklearn_uniroute
from sklearn_uniroute._cli import main, parse_router, verdict
from sklearn_uniroute.datasets import make_routing_data


@pytest.fixture
def path(tmp_path):
    data = make_routing_data(n_prompts=150, n_models=8, random_state=0)
    np.savez(tmp_path / "data.npz", X=data.X, y=data.y, costs=data.costs, models=data.models)
    return tmp_path / "data.npz"


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "sklearn_uniroute", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.mark.slow
def test_without_any_option(tmp_path):
    result = run("compare", "--trials", 2, cwd=tmp_path)
    # No progress bar in a pipe.
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("pool of small classifiers: 1397 prompts, 16 training and 9 unseen")
    rows = [re.split(r"  | 0", line)[0] for line in lines[3:10]]
    assert rows == [
        "ZeroRouter",
        "KNeighborsRouter(50)",
        "KMeansRouter(8, representation='mean', temperature=0)",
        "KMeansRouter(24, representation='mean', temperature=0)",
        "KMeansRouter(8)",
        "KMeansRouter(24)",
        "LearnedMapRouter(24)",
    ]
    assert (tmp_path / "deferral_curves.png").read_bytes()[:4] == b"\x89PNG"
    assert lines[-1].startswith("Next, your own data: python -m sklearn_uniroute compare --data")


def test_table(path, capsys):
    options = [f"--data={path}", f"--output={path.parent / 'new'}", "--trials=3", "--n-jobs=1"]
    main(["compare", *options, "--routers", "ZeroRouter", "KMeansRouter(4, cost_weight=0.5)"])
    out = capsys.readouterr().out
    assert out.startswith(
        "data.npz: 150 prompts, 5 training and 3 unseen models, 15 validation prompts, 3 trials"
    )
    header, first, second = (line.split() for line in out.splitlines()[2:5])
    assert header == ["router", "area", "gain", "p", "QNC", "reached", "peak", "saved"]
    assert (first[0], *first[4:6]) == ("ZeroRouter", "-", "-")
    assert second[:2] == ["KMeansRouter(4,", "cost_weight=0.5)"]
    assert "area minus that of ZeroRouter" in out
    assert (path.parent / "new" / "deferral_curves.png").exists()
    assert out.splitlines()[-1].startswith("Look at gain: KMeansRouter(4, cost_weight=0.5) gains ")


def test_the_verdict_names_the_best_router_and_says_whether_it_is_ahead():
    records = [
        {"router": "Zero", "gain": (0.0, 0.0, 0.0)},
        {"router": "A", "gain": (0.02, 0.01, 0.03)},
        {"router": "B", "gain": (0.03, -0.01, 0.07)},
        {"router": "oracle", "gain": (0.2, 0.1, 0.3)},
    ]
    assert "A gains +0.020 [+0.010, +0.030] over Zero, and is ahead" in verdict(records[:2], ())
    assert "B gains +0.030 [-0.010, +0.070] over Zero, and may not be" in verdict(
        records, ["oracle"]
    )
    assert "more routers after Zero" in verdict([records[0], records[3]], ["oracle"])


def test_json_has_the_trials_and_their_summary(path, capsys):
    arguments = ["compare", "--data", str(path), "--output", str(path.parent), "--json"]
    main([*arguments, "--trials", "4", "--n-jobs", "1", "--routers", "KMeansRouter", "ZeroRouter"])
    result = json.loads(capsys.readouterr().out)
    assert (result["n_trials"], result["n_validation"], result["redrawn_splits"]) == (4, 15, 0)
    first, second = result["routers"]
    assert [first["router"], second["router"]] == ["KMeansRouter", "ZeroRouter"]
    areas = np.array([first["trials"]["area"], second["trials"]["area"]])
    assert first["area"][0] == pytest.approx(areas[0].mean())
    assert second["gain"][0] == pytest.approx((areas[1] - areas[0]).mean())
    assert first["gain"] == [0, 0, 0]
    assert first["p_value"] is None
    assert second["gain"][1] <= second["gain"][0] <= second["gain"][2]
    assert second["p_holm"] == second["p_value"] > 0
    qnc = np.array([np.inf if value is None else value for value in first["trials"]["qnc"]])
    assert first["qnc_reached"] == np.isfinite(qnc).mean()
    assert first["cost_saved"][0] == pytest.approx((1 - np.minimum(qnc, 1)).mean())


def test_one_trial_has_no_interval(path, capsys):
    options = [f"--data={path}", f"--output={path.parent}", "--trials=1", "--n-jobs=1"]
    main(["compare", *options, "--routers", "ZeroRouter"])
    row = capsys.readouterr().out.splitlines()[3]
    assert row.startswith("ZeroRouter")
    assert "±" not in row


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KMeansRouter", "KMeansRouter()"),
        ("KMeansRouter(24)", "KMeansRouter(n_clusters=24)"),
        (
            " KNeighborsRouter(n_neighbors=3, metric='cosine')",
            "KNeighborsRouter(metric='cosine', n_neighbors=3)",
        ),
    ],
)
def test_routers_are_written_as_in_python(text, expected):
    name, router = parse_router(text)
    assert (name, str(router)) == (text, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nothing.npz"], "there is no routing data at nothing.npz"),
        (["--routers", "Router"], "'Router' makes no router: expected one of 'ZeroRouter', "),
        (["--routers", "KMeansRouter("], "makes no router"),
        (["--routers", "KMeansRouter(x)"], "makes no router"),
        (["--routers", "KMeansRouter(k=3)"], "makes no router.*unexpected keyword argument 'k'"),
        (["--routers", "ZeroRouter", "ZeroRouter"], "`--routers` names a router twice"),
        (["--trials", "0"], "argument --trials: must be a whole number of at least 1; got '0'"),
        (["--trials", "some"], "must be a whole number of at least 1; got 'some'"),
        (["--n-jobs", "0"], "argument --n-jobs: must be a whole number other than 0; got '0'"),
        (["--random-state", "-1"], r"argument --random-state: must be a whole number from 0 to"),
        (["--random-state", "4294967296"], "argument --random-state: must be"),
        (["--model-share", "nan"], "argument --model-share: must be a number between 0 and 1"),
        (["--n-validation", "-3"], "argument --n-validation: must be"),
    ],
)
def test_errors_are_one_line_without_a_traceback(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare", "--output", str(tmp_path), *arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error)


def test_faults_of_a_file_name_option_row_and_column(tmp_path, capsys):
    path = tmp_path / "data.csv"
    for text, message in (
        ("a,b,x0\n1,0,1\n0,1,\n", "--data: data.csv: column 'x0' is empty or not finite in row 1"),
        ("a,b\n1,0\n0,one\n", "--data: data.csv: column 'b' is not a number in row 1 ('one')"),
    ):
        path.write_text(text)
        with pytest.raises(SystemExit) as stop:
            main(["compare", "--data", str(path), "--output", str(tmp_path)])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_columns_scale_and_repeated_calls_of_a_table(tmp_path, capsys):
    data = make_routing_data(n_prompts=60, n_models=6, random_state=0)
    table = tmp_path / "log.csv"
    calls = [
        (f"p{prompt}", f"m{model}", 1 + 4 * quality, data.costs[model], *data.X[prompt, :2])
        for (prompt, model), quality in np.ndenumerate(data.y)
    ]
    rows = [",".join(map(str, call)) for call in [*calls, calls[0]]]
    table.write_text("\n".join(["prompt_id,llm,stars,cost,x0,x1", *rows]))
    options = ["compare", f"--data={table}", f"--output={tmp_path}", "--trials=2", "--n-jobs=1"]
    options += ["--json", "--routers", "ZeroRouter"]
    as_table = [*options, "--columns", "model=llm", "--columns", "quality=stars"]
    as_table += ["--duplicates=last"]
    main([*as_table, "--scale", "1", "5"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["n_prompts"] == 60
    assert max(printed["routers"][0]["trials"]["peak_quality"]) <= 1
    for arguments, message in (
        (
            [*as_table[:-1], "--scale", "1", "5"],
            "--data: log.csv: .* repeats a model",
        ),
        ([*options, "--columns", "model"], "must be NAME=COLUMN; got 'model'"),
        ([*options, "--columns", "model=llm", "model=x"], "`--columns` gives a name twice"),
        (["compare", "--scale", "1", "5"], "name it with `--data`"),
        (["compare", "--duplicates", "mean"], "name it with `--data`"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert re.search(message, capsys.readouterr().err)


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"sklearn_uniroute {sklearn_uniroute.__version__}\n"


def test_an_interrupt_is_one_line(path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_uniroute._cli.compare_routers", interrupt)
    with pytest.raises(SystemExit) as stop:
        main(["compare", "--data", str(path), "--output", str(path.parent)])
    assert stop.value.code == 130
    assert capsys.readouterr().err.endswith("compare: interrupted\n")


def test_no_command_prints_the_usage(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "usage: python -m sklearn_uniroute" in capsys.readouterr().err
