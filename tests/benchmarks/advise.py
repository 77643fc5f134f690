"""Does the advice of `dsmote advise` hold on rows that it has not seen?

Each table is split into halves several times. From one half (at most 2,000 rows) all candidates are
cross-validated and fitted, and each is scored on the other half. So it is known which candidate is
best there (the reference: the best mean over the splits), and what following the advice costs.

The best of twenty on the splits on which it is judged is also the luckiest. So the report has a
second reference, that of each split being best on the others; and how often that one, which knows
more than any training rows tell, is within tolerance of the first.

    python tests/benchmarks/advise.py collect --results FILE   # hours of fits; run again to go on
    python tests/benchmarks/advise.py report --results FILE    # seconds: the tables below
    python tests/benchmarks/advise.py time                     # 1,000,000 x 20 rows, as a command
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import harness
import numpy as np
import pandas as pd

from dsmote.advice import choice, screen

TRAIN, HELD_OUT = 2_000, 20_000
#: Fewest rows of a class that both halves can show.
FEWEST = 5
METRICS = ("AP", "F1")
ENOUGH, FEWEST_ADVISED = 60, 20
TOLERANCE = 0.005


def learners(iterations=40):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    boosting = HistGradientBoostingClassifier(
        max_iter=iterations, max_leaf_nodes=15, early_stopping=False
    )
    return {"boosting": boosting, "logistic": LogisticRegression(max_iter=300)}


def table_names(data):
    keel = sorted(f"keel/{file.name}" for file in (data / "keel").glob("*.csv.gz"))
    return [*keel, *sorted(file.name for file in data.glob("*.parquet"))]


def read_table(file):
    """Return rows as numbers; the rare class is the rarest of at least 1 % (or of two)."""
    table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    name = file.name.split(".")[0]
    target = harness.TARGETS.get(name, table.columns[-1])
    labels = table.pop(target)
    table = table.drop(columns=[c for c in ("id", "record_id") if c in table])
    counts = labels.value_counts()
    if len(counts) > 2:
        counts = counts[counts >= max(FEWEST, 0.01 * len(labels))]
    nominal = np.array([not pd.api.types.is_numeric_dtype(table[c]) for c in table])
    columns = [
        pd.factorize(table[c].astype(str), sort=True)[0] if of else table[c]
        for c, of in zip(table, nominal, strict=True)
    ]
    X = np.column_stack(columns).astype(np.float64)
    return screen.Sample(X, (labels == counts.index[-1]).to_numpy().astype(np.int64), nominal)


def halves(y, split):
    """Return rows to train on and rows held out, of both classes."""
    rng = np.random.default_rng(split)
    train, held = [], []
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        share = len(rows) / len(y)
        half = len(rows) // 2
        train.append(rows[:half][: max(2, round(TRAIN * share))])
        held.append(rows[half:][: max(2, round(HELD_OUT * share))])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held))


def folds_of(y, seed):
    from sklearn.model_selection import StratifiedKFold

    n = max(2, min(screen.FOLDS, int(y.sum())))
    return list(StratifiedKFold(n, shuffle=True, random_state=seed).split(y, y))


def measured(sample, split, repeats, iterations, jobs):
    """Return what one split of a table says: scores of the folds and of the held-out half."""
    train, held = halves(sample.y, split)
    rows, test = sample.take(train), sample.take(held)
    every, models = screen.candidates(rows), learners(iterations)
    found = {"few": int(rows.y.sum()), "rows": len(rows.y), "held": int(test.y.sum())}
    found["candidates"] = [[c.method, c.ratio] for c in every]
    truths, folds = [], []
    for repeat in range(repeats):
        folds.append(folds_of(rows.y, 1000 * split + repeat))
        truths.append([rows.y[out] for _, out in folds[-1]])
    runs = [
        screen.cross_validated(rows, every, models, each, jobs, split, lambda *_: None)
        for each in folds
    ]
    whole = screen.cross_validated(
        sample, every, models, [(train, held)], jobs, split, lambda *_: None
    )
    for name in models:
        cv = {metric: [] for metric in METRICS}
        out = {metric: [] for metric in METRICS}
        for c in every:
            ap, tuned = [], []
            for run, y in zip(runs, truths, strict=True):
                ap += [choice.average_precision(a, b) for a, b in zip(y, run[name, c], strict=True)]
                tuned += choice.tuned_f1(y, run[name, c]).tolist()
            pooled = np.concatenate(truths[0]), np.concatenate(runs[0][name, c])
            threshold = choice.best_threshold(*pooled)
            scores = whole[name, c][0]
            cv["AP"].append(ap)
            cv["F1"].append(tuned)
            out["AP"].append(choice.average_precision(test.y, scores))
            out["F1"].append(choice.f1(test.y, scores, threshold))
        at_half = choice.f1(test.y, whole[name, every[0]][0], 0.5)
        found[name] = {"cv": cv, "out": out, "at 0.5": at_half}
    return found


def collect(options):
    """Append one line for each table and split that is not there yet."""
    options.results.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    done = {(one["table"], one["split"]) for one in read_results(options.results)}
    names = options.table or table_names(options.data)
    for split in range(options.splits):
        for name in names:
            if (name, split) in done:
                continue
            if time.monotonic() - began > options.seconds:
                return
            start = time.monotonic()
            sample = read_table(options.data / name)
            found = measured(sample, split, options.repeats, options.iterations, options.jobs)
            line = {"table": name, "split": split, "seconds": time.monotonic() - start, **found}
            with options.results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{name} {split}: {found['few']} of {found['rows']}, {line['seconds']:.1f} s")


def read_results(file):
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def picks(one, learner, metric, few_needed=FEWEST_ADVISED):
    """Return the candidate that the rule names for a split: 0, nothing, where it refuses."""
    if one["few"] < few_needed:
        return 0
    cv = np.array(one[learner]["cv"][metric])[:, : screen.FOLDS]
    return choice.choose(cv, [method for method, _ in one["candidates"]])


def cases_of(results):
    """Return one case for each table, learner and metric: its splits, held out."""
    tables = {}
    for one in results:
        tables.setdefault(one["table"], []).append(one)
    found = []
    for table, splits in tables.items():
        # Ratios just above the table's own may be tried in some splits only.
        every = [tuple(c) for c in splits[0]["candidates"]]
        every = [c for c in every if all(list(c) in one["candidates"] for one in splits)]
        few = float(np.mean([one["few"] for one in splits]))
        for learner in learners():
            for metric in METRICS:
                out, ours = [], []
                for one in splits:
                    scores = one[learner]["out"][metric]
                    out.append([scores[one["candidates"].index(list(c))] for c in every])
                    ours.append(scores[picks(one, learner, metric)])
                always = every.index(("smote", 1.0)) if ("smote", 1.0) in every else 0
                at_half = [one[learner]["at 0.5"] for one in splits]
                case = {"table": table, "learner": learner, "metric": metric, "few": few}
                found.append(
                    {
                        **case,
                        "out": np.array(out).T,
                        "ours": np.array(ours),
                        "smote": np.array(out).T[always],
                        "at 0.5": np.array(at_half),
                    }
                )
    return found


def mean_and_error(values):
    values = np.asarray(values)
    return f"{values.mean():+.4f} +- {values.std(ddof=1) / len(values) ** 0.5:.4f}"


def reported(results):
    """Print the rates and regrets of each metric, and return them."""
    rates = {}
    for metric in METRICS:
        every = [case for case in cases_of(results) if case["metric"] == metric]
        groups = {
            "all": every,
            f">= {ENOUGH} rare rows": [c for c in every if c["few"] >= ENOUGH],
            f"{FEWEST_ADVISED} to {ENOUGH}": [
                c for c in every if FEWEST_ADVISED <= c["few"] < ENOUGH
            ],
            f"< {FEWEST_ADVISED}": [c for c in every if c["few"] < FEWEST_ADVISED],
        }
        for group, cases in groups.items():
            if len(cases) < 2:
                continue
            within, below, regret, fair, gain, smote = [], [], [], [], [], []
            within_fair, known = [], []
            for case in cases:
                means = case["out"].mean(axis=1)
                behind = case["out"][means.argmax()] - case["ours"]
                within.append(is_near(behind))
                elsewhere = picked_elsewhere(case["out"])
                within_fair.append(is_near(elsewhere - case["ours"]))
                known.append(is_near(case["out"][means.argmax()] - elsewhere))
                over = case["ours"] - case["out"][0]
                below.append(-over.mean() > max(TOLERANCE, error_of(over)))
                regret.append(behind.mean())
                gain.append(over.mean())
                smote.append((case["smote"] - case["out"][0]).mean())
                fair.append((elsewhere - case["ours"]).mean())
            rates[metric, group] = {
                "cases": len(cases),
                "within": float(np.mean(within)),
                "within, fair": float(np.mean(within_fair)),
                "below": float(np.mean(below)),
                "regret": float(np.mean(regret)),
            }
            print(
                f"{metric}, {group}: {len(cases)} cases; "
                f"within tolerance {np.mean(within):.1%}, below nothing {np.mean(below):.1%}\n"
                f"    of what is best on the other splits {np.mean(within_fair):.1%}, which is "
                f"itself within tolerance of the best in {np.mean(known):.1%}\n"
                f"    regret {mean_and_error(regret)} ({mean_and_error(fair)} against what is best "
                f"on the other splits)\n    against nothing: advice "
                f"{mean_and_error(gain)}, always SMOTE {mean_and_error(smote)}"
            )
            if metric == "F1":
                half = [(case["out"][0] - case["at 0.5"]).mean() for case in cases]
                print(f"    tuned threshold against 0.5: {mean_and_error(half)}")
            missed = [c for c, of in zip(cases, within, strict=True) if not of]
            if group == "all":
                for case in missed:
                    means = case["out"].mean(axis=1)
                    print(
                        f"      not within: {case['table']} {case['learner']} "
                        f"({case['few']:.0f} rare rows) by {means.max() - case['ours'].mean():.4f}"
                    )
    return rates


def picked_elsewhere(out):
    """Return for each split the score of the candidate that is best on the others."""
    n = out.shape[1]
    if n == 1:
        return out[0]
    best = [np.delete(out, i, axis=1).mean(axis=1).argmax() for i in range(n)]
    return out[best, np.arange(n)]


def is_near(behind):
    """Tell whether what is behind the reference by so much is within tolerance of it."""
    return behind.mean() <= max(TOLERANCE, 2 * error_of(behind))


def error_of(differences):
    """Return the standard error over the splits; of one split none is known."""
    n = len(differences)
    return float(differences.std(ddof=1) / n**0.5) if n > 1 else 0.0


def timed(options):
    """Time the command on 1,000,000 x 20 rows, 2 % of them rare, with starting Python."""
    with TemporaryDirectory(dir=options.directory) as folder:
        harness.write_table(Path(folder) / "in", rows=options.rows or 1_000_000, files=4, one_in=50)
        command = [sys.executable, "-m", "dsmote", "advise", f"{folder}/in", "--target", "label"]
        began = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(done.stdout)
        print(f"{seconds:.1f} s; processors were busy for {used.ru_utime + used.ru_stime:.1f} s")
    return seconds


def main(argv=None):
    parser = harness.parser(__doc__, "data", "rows", "directory")
    parser.add_argument("what", choices=["collect", "report", "time"])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--table", action="append")
    parser.add_argument("--splits", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1e9, help="start nothing after so many")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(argv)
    if options.what == "time":
        return timed(options)
    if options.results is None:
        parser.error("--results names the file of results")
    if options.what == "collect":
        return collect(options)
    return reported(read_results(options.results))


if __name__ == "__main__":
    main()
