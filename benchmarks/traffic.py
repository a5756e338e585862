"""Learning from served traffic: one model answers each prompt, and its error comes back.

Run as ``python -m benchmarks.traffic [TRIALS]``. New models are known from a few labelled prompts,
and serve a stream of new prompts. Utility is quality less the cost weight times the cost. For each
scenario, it prints the mean utility of the table that never learns, then paired differences to it,
over the whole stream and over its last quarter: of routers that learn greedily, that explore, whose
evidence fades, and of bandits that start from the same labels. The environment is this file's own.

Then it prints what a pacer spends, how often intervals of values from logs cover, and times. The
bandits need ``pip install mabwiser paretobandit``; those that are not installed are left out.
"""

from collections import Counter
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from scipy.stats import chisquare
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from benchmarks._runner import arguments, model_costs, paired, ratio, real_data, run_trials
from sklearn_uniroute import BudgetPacer, KMeansRouter, load_router, save_router
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.metrics import deferral_curve, off_policy_value
from sklearn_uniroute.model_selection._split import draw_split

N_SERVED, BATCH = 2000, 50
FADING = 0.998
SHARES = (0.05, 0.1, 0.3, 1.0)
N_COMPONENTS = 24
# Scenarios: number of labelled prompts, and what happens.
SCENARIOS = {
    "25 prompts": {},
    "5 prompts": {"n_known": 5},
    "no prompt, card": {"n_known": 0},
    "joins half way": {"joins": True},
    "degrades half way": {"degrades": True},
    "10 % feedback": {"feedback": 0.1},
    "200 calls late": {"delay": 200},
    "5 % flipped": {"flipped": 0.05},
    "restart from file": {"restarts": True},
}


class Stream:
    """A pool of new models, the labels that they start from, and the prompts that they serve."""

    def __init__(self, data, share, seed, n_known=25, joins=False, degrades=False, **feedback):
        self.rng = rng = np.random.RandomState(seed)
        prices = model_costs(data)
        split = draw_split(rng, len(data.X), prices, 1, int(share * len(prices)))
        known, pool = split.training_models, split.unseen_models
        training, served = split.training, rng.permutation(split.test)[:N_SERVED]
        self.X, self.costs = data.X[served], prices[pool]
        # Gaps are filled by the mean of the model, so that all policies can call it.
        filled = np.where(np.isnan(data.y), np.nanmean(data.y, axis=0), data.y)
        self.y = filled[np.ix_(served, pool)]
        quality = filled[training][:, pool].mean(axis=0)
        best, cheapest = quality.argmax(), self.costs.argmin()
        gained = quality[best] - quality[cheapest]
        dearer = self.costs[best] - self.costs[cheapest]
        # The best model is worth twice its price.
        self.cost_weight = gained / dearer / 2 if gained > 0 < dearer else 0.1 / self.costs.max()
        half = len(served) // 2
        self.present = np.ones(self.y.shape, dtype=bool)
        if joins:
            self.present[:half, best] = False
        if degrades:
            worst = self.y.min(axis=1)
            self.y[half:, best] = worst[half:]
        self.feedback, self.delay, self.flipped, self.restarts = 1.0, 0, 0.0, False
        vars(self).update(feedback)
        self.router = KMeansRouter(random_state=seed)
        cards = np.log(prices)[:, None] if n_known == 0 else None
        self.router.fit(
            data.X[training],
            filled[training][:, known],
            costs=prices[known],
            model_features=None if cards is None else cards[known],
        )
        chosen = rng.permutation(training)[:n_known]
        self.labels = data.X[chosen], filled[np.ix_(chosen, pool)]
        self.names = list(range(len(known), len(prices)))
        self.full = deepcopy(self.router)
        for name, model in zip(self.names, pool, strict=True):
            card = {} if cards is None else {"features": cards[model]}
            errors = {"val_errors": 1 - filled[chosen, model], "X_val": data.X[chosen]}
            self.router.add_model(
                **(errors if n_known else {}), name=name, cost=prices[model], **card
            )
            self.full.add_model(
                1 - filled[training, model],
                X_val=data.X[training],
                name=name,
                cost=prices[model],
                **card,
            )
        self.training = data.X[training]

    def serve(self, policy):
        """Utility of each served prompt, under a policy that learns in batches."""
        rng, late, utility = np.random.RandomState(0), [], []
        for start in range(0, len(self.X), BATCH):
            rows = np.arange(start, min(start + BATCH, len(self.X)))
            if self.restarts and start == len(self.X) // 2 // BATCH * BATCH:
                policy.restart()
            present = self.present[start]
            chosen = policy.choose(self.X[rows], np.flatnonzero(present))
            quality = self.y[rows, chosen]
            utility.append(quality - self.cost_weight * self.costs[chosen])
            seen = rng.uniform(size=len(rows)) < self.feedback
            flips = rng.uniform(size=len(rows)) < self.flipped
            quality = np.where(flips, 1 - quality, quality)
            late.append((self.X[rows][seen], chosen[seen], quality[seen]))
            if len(late) > self.delay // BATCH:
                policy.learn(*late.pop(0))
        return np.concatenate(utility)


class Table:
    """Tables of a router that learns from what they served."""

    def __init__(self, stream, router=None, *, learns=True, exploration=0.0, fading=1.0):
        self.router = deepcopy(stream.router if router is None else router)
        self.names, self.cost_weight = np.array(stream.names), stream.cost_weight
        self.learns, self.exploration, self.fading = learns, exploration, fading

    def choose(self, X, present):
        table = self.router.routing_table(
            self.names[present].tolist(),
            cost_weight=self.cost_weight,
            exploration=self.exploration,
        )
        return np.searchsorted(self.names, table.route_many(X))

    def restart(self):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "router.skops"
            save_router(self.router, path)
            self.router = load_router(path)

    def learn(self, X, chosen, quality):
        if not self.learns:
            return
        if self.fading < 1:
            self.router.decay(self.fading**BATCH, self.names.tolist())
        if len(X):
            self.router.update_from_log(X, self.names[chosen], 1 - quality)


class Bandit:
    """What all bandits share: whitened components of the embeddings as context."""

    def __init__(self, stream):
        self.costs, self.cost_weight = stream.costs, stream.cost_weight
        n_components = min(N_COMPONENTS, stream.training.shape[1])
        self.pca = PCA(n_components, whiten=True, random_state=0).fit(stream.training)
        self.start(len(stream.costs))
        X, y = stream.labels
        for model in range(len(stream.costs)):
            if len(X):
                self.learn(X, np.full(len(X), model), y[:, model])

    def restart(self):
        """Bandits stay in memory: no file of theirs is compared."""

    def context(self, X):
        return np.column_stack([self.pca.transform(X), np.ones(len(X))])


class Mabwiser(Bandit):
    """Linear bandits of mabwiser on utilities."""

    def __init__(self, stream, policy, alpha):
        from mabwiser.mab import LearningPolicy

        self.policy = getattr(LearningPolicy, policy)(alpha=alpha)
        super().__init__(stream)

    def start(self, n_models):
        from mabwiser.mab import MAB

        self.bandit = MAB(list(range(n_models)), self.policy, seed=0)
        n_features = self.pca.n_components_ + 1
        # It cannot choose before it was fitted.
        self.bandit.fit([0], [0.0], np.zeros((1, n_features)))

    def choose(self, X, present):
        expected = self.bandit.predict_expectations(self.context(X))
        return np.array([max(present, key=one.get) for one in expected])

    def learn(self, X, chosen, quality):
        if len(X):
            utility = quality - self.cost_weight * self.costs[chosen]
            self.bandit.partial_fit(chosen, utility, self.context(X))


class ParetoBandit(Bandit):
    """The linear policy of ParetoBandit, on qualities, with costs as penalties."""

    def __init__(self, stream, fading=1.0):
        self.fading = fading
        super().__init__(stream)

    def start(self, n_models):
        from pareto_bandit.policy import DisjointLinUCBPolicy

        names = [str(model) for model in range(n_models)]
        self.bandit = DisjointLinUCBPolicy(
            names, dim=self.pca.n_components_ + 1, forgetting_factor=self.fading, seed=0
        )
        self.penalties = dict(zip(names, self.cost_weight * self.costs, strict=True))

    def choose(self, X, present):
        names = [str(model) for model in present]
        found = []
        for x in self.context(X):
            name, _ = self.bandit.select_arm(x, names, self.penalties)
            found.append(int(name))
        return np.array(found)

    def learn(self, X, chosen, quality):
        for x, model, reward in zip(self.context(X), chosen, quality, strict=True):
            self.bandit.update(str(model), x, float(np.clip(reward, 0, 1)))


def policies():
    """Policies by name: functions that make one for a stream."""
    found = {
        "static": partial(Table, learns=False),
        "greedy": Table,
        **{f"{share:.0%} of draws": partial(Table, exploration=share) for share in SHARES},
        "fading": partial(Table, fading=FADING),
        "fading, 10% of draws": partial(Table, fading=FADING, exploration=0.1),
        "full labels": lambda stream: Table(stream, stream.full, learns=False),
    }
    if find_spec("mabwiser"):
        for alpha in (1.0, 0.1):
            found[f"LinUCB {alpha:g}, mabwiser"] = partial(Mabwiser, policy="LinUCB", alpha=alpha)
            found[f"LinTS {alpha:g}, mabwiser"] = partial(Mabwiser, policy="LinTS", alpha=alpha)
    if find_spec("pareto_bandit"):
        found["ParetoBandit"] = ParetoBandit
        found["ParetoBandit, fading"] = partial(ParetoBandit, fading=FADING)
    return found


def trial(data, share, scenario, seed):
    found, stream = {}, Stream(data, share, seed, **scenario)
    for name, make in policies().items():
        utility = stream.serve(make(stream))
        found[name] = utility.mean(), utility[3 * len(utility) // 4 :].mean()
    return found


def report(name, results):
    first = np.array([one["static"] for one in results])
    print(f"  {name:<24}{'static':<24}{first[:, 0].mean():.4f}            {first[:, 1].mean():.4f}")
    for policy in results[0]:
        if policy != "static":
            gains = np.array([one[policy] for one in results]) - first
            shown = ["{:+.4f} ± {:.4f}".format(*paired(gain)) for gain in gains.T]
            print(f"  {'':<24}{policy:<24}{'  '.join(shown)}")


def coverage(n_logs=500, n_calls=2000):
    """How often 95 % intervals of values from logs cover, and their widths."""
    data = make_routing_data(n_prompts=6000, n_models=4, random_state=0)
    training, other = slice(0, 30), slice(1000, 2000)
    router = KMeansRouter(random_state=0)
    router.fit(data.X[training], data.y[training], costs=data.costs)
    new = KMeansRouter(random_state=1).fit(data.X[other], data.y[other], costs=data.costs)
    X, chance = data.X[2000:], data.y[2000:]
    chance = 0.8 * chance + 0.1
    target, predicted = new.predict(X, cost_weight=1e-3), 1 - router.predict_error(X)
    truth = {
        "quality": chance[np.arange(len(X)), target].mean(),
        "cost": data.costs[target].mean(),
    }
    for share in (0.05, 0.2):
        table = router.routing_table(cost_weight=1e-3, exploration=share)
        found = {}
        for seed in range(n_logs):
            rng = np.random.RandomState(seed)
            rows = rng.randint(len(X), size=n_calls)
            log = [
                table.route_logged(X[row], request_id=f"{seed} {number}")
                for number, row in enumerate(rows)
            ]
            chosen = np.array([decision.model for decision in log])
            propensity = np.array([decision.propensity for decision in log])
            quality = (rng.uniform(size=n_calls) < chance[rows, chosen]).astype(float)
            for kind, outcome, known in (
                ("quality", quality, predicted[rows]),
                ("cost", data.costs[chosen], np.tile(data.costs, (n_calls, 1))),
            ):
                for estimator in ("doubly_robust", "self_normalized", "ips"):
                    one = off_policy_value(
                        outcome,
                        chosen,
                        propensity,
                        target[rows],
                        predicted=known,
                        estimator=estimator,
                    )
                    # Costs are predicted exactly.
                    slack = 1e-9 * truth[kind] + (0 if one.std else np.inf)
                    covered = one.low - slack <= truth[kind] <= one.high + slack
                    found.setdefault((kind, estimator), []).append((covered, one.std))
        for (kind, estimator), values in found.items():
            covered, std = np.mean(values, axis=0)
            print(
                f"  {share:.0%} explored, {kind:<8} {estimator:<16} covers {covered:.1%}, "
                f"standard error {std:.4g}"
            )


def propensities(n_prompts=5, n_calls=100_000):
    """How often models are chosen, against the probabilities that tables log."""
    data = make_routing_data(n_prompts=500, n_models=8, random_state=0)
    router = KMeansRouter(random_state=0).fit(data.X[:50], data.y[:50], costs=data.costs)
    table = router.routing_table(cost_weight=1e-3, exploration=0.2)
    for x in data.X[50 : 50 + n_prompts]:
        log = [table.route_logged(x, request_id=str(number)) for number in range(n_calls)]
        logged = {decision.model: decision.propensity for decision in log}
        counts = Counter(decision.model for decision in log)
        expected = n_calls * np.array([logged[model] for model in counts])
        # Models that were never chosen have the rest of the probability.
        total = expected.sum() / n_calls
        test = chisquare(list(counts.values()), expected / total)
        print(f"  {len(counts)} models, probabilities add up to {total:.6f}, p = {test.pvalue:.2f}")


def drifts(X, rng):
    """Orders of prompts whose spending drifts in five ways; `X` goes by rising spending."""
    n, even = N_SERVED, rng.randint(len(X), size=N_SERVED)
    half = len(X) // 2
    dear = half + rng.randint(len(X) - half, size=n)
    cheap, time = rng.randint(half, size=n), np.arange(n) / n
    ramp = rng.uniform(size=n) < time
    waves = rng.uniform(size=n) < (np.sin(8 * np.pi * time) + 1) / 2
    burst = (time > 0.45) & (time < 0.65)
    return {
        "none": even,
        "at once": np.where(time < 0.5, cheap, dear),
        "slowly": np.where(ramp, dear, cheap),
        "in waves": np.where(waves, dear, cheap),
        "a burst": np.where(burst, dear, cheap),
    }


def paced(data, share, seed):
    """How far the mean cost is from the budget, fixed and paced, and the quality that is lost."""
    stream = Stream(data, share, seed)
    router, rng = stream.full, np.random.RandomState(seed)
    error = router.predict_error(stream.X, stream.names)
    dearest = stream.costs[error.argmin(axis=1)]
    budget = (stream.costs.min() + dearest.mean()) / 2
    order = np.argsort(dearest + rng.uniform(size=len(dearest)) * 1e-9, kind="stable")
    found = {}
    for kind, rows in drifts(order, rng).items():
        rows = order[rows]
        X, y = stream.X[rows], stream.y[rows]
        table = router.routing_table(stream.names, budget=budget)
        fixed = np.searchsorted(stream.names, table.route_many(X))
        pacer = BudgetPacer(table, budget)
        chosen = np.searchsorted(stream.names, [pacer.route_logged(x).model for x in X])
        cost, quality, _ = deferral_curve(y, error[rows], stream.costs)
        hindsight = np.interp(budget, np.maximum.accumulate(cost), quality)
        found[kind] = (
            stream.costs[fixed].mean() / budget - 1,
            stream.costs[chosen].mean() / budget - 1,
            hindsight - y[np.arange(len(rows)), chosen].mean(),
        )
    return found


def print_times():
    data = make_routing_data(n_prompts=3000, n_models=11, n_features=384, random_state=0)
    X, costs = data.X.astype(np.float32), data.costs
    for name, router in (
        ("default", KMeansRouter(random_state=0)),
        ("nearest cluster", KMeansRouter(temperature=0, random_state=0)),
    ):
        router.fit(X[:1000], data.y[:1000], costs=costs)
        table = router.routing_table(cost_weight=1e-3)
        exploring = router.routing_table(cost_weight=1e-3, exploration=0.1)
        x = X[0].copy()

        def calls(function, x=x):
            for _ in range(2000):
                function(x)

        quotient = ratio(partial(calls, exploring.route_logged), partial(calls, table.route))
        print(f"  route_logged of a table that explores, over route, {name}: {quotient}")
    router = KMeansRouter(random_state=0).fit(X[:1000], data.y[:1000], costs=costs)
    rng = np.random.RandomState(0)
    rows = rng.randint(3000, size=1_000_000)
    chosen = rng.randint(11, size=len(rows))
    log = X[rows], chosen, 1 - data.y[rows, chosen]
    start = perf_counter()
    router.update_from_log(*log)
    print(f"  update_from_log of a million calls: {perf_counter() - start:.1f} s")


def main():
    options = arguments(__doc__, trials=8)
    for name, data, share in real_data():
        print(f"\n{name}, {options.trials} streams, mean utility and that of the last quarter")
        for scenario, settings in SCENARIOS.items():
            results = run_trials(trial, range(options.trials), data, share, settings)
            report(scenario, results)
        results = run_trials(paced, range(options.trials), data, share)
        print("  mean cost beyond the budget, fixed table and pacer, and quality lost to hindsight")
        for kind in results[0]:
            fixed, kept, lost = np.array([one[kind] for one in results]).T
            print(
                f"  drift {kind:<10} {np.abs(fixed).mean():8.2%} {np.abs(kept).mean():8.2%} "
                f"(largest {np.abs(kept).max():.2%})   {lost.mean():+.4f}"
            )
    print("\n95 % intervals of values from 500 logs of 2,000 calls")
    coverage()
    print("\nModels that 100,000 requests of a prompt go to, against logged probabilities")
    propensities()
    print("\nTimes")
    with threadpool_limits(1):
        print_times()


if __name__ == "__main__":
    main()
