"""Tables, sentences and figures made from the tables of the study; here these are made by hand."""

import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from autoscaler_env.cli.main import main
from autoscaler_env.evaluation.limits import Limit, save_limits
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.study import (
    FIGURES,
    draw_figures,
    plot_matrix,
    plot_ppo_against_rules,
    plot_seeds,
    plot_split,
    plot_traces,
)
from autoscaler_env.plotting.style import colour_of
from autoscaler_env.study import summary
from autoscaler_env.study.analysis import (
    advice_on_traces,
    avoidable,
    effort_of_study,
    foresight,
    generalisation,
    learners_on_traces,
    on_own_pattern,
    read_curves,
    read_study,
    regret_table,
    savings_over_trainings,
    specialists,
    traces_table,
    wide_costs,
)
from autoscaler_env.study.summary import deployment, imitation_note, savings_report
from autoscaler_env.traffic.patterns import MIXED, PATTERNS

ABOVE = {"threshold": 50.0, "hpa-demand": 20.0, "target-tracking-mixed": 10.0, "target-tracking-per-pattern": 5.0}
LEARNED = {"q-learning": 12.0, "dqn": 8.0, "ppo": 6.0}  # regret of models on MIXED
OPTIMA = dict(zip(PATTERNS, (100.0, 110, 120, 130, 140, 150), strict=True))
FORESIGHT = {"STEADY": 0.0, "SINE_CURVE": 0.0, "SINUSOIDAL": 1.0, "SPIKE": 6.0, "POISSON": 0.5, "RANDOM": 1.5}
OWN = {"STEADY": 1.0, "SINE_CURVE": 2.0, "SINUSOIDAL": 3.0, "SPIKE": 9.0, "POISSON": 5.0, "RANDOM": 4.0}  # PPO's
TRACES = {"taxi": 90.0, "mentions": 80.0}
SEEDS = (-0.2, -0.1, 0.0, 0.1, 0.2)  # what the seeds differ by
CLAIMS = [function for name, function in vars(summary).items() if name.endswith("_claim")]


def baselines(optima, above):
    rows = [
        {"policy": policy, "tested_on": name, "days": 7, "regret": more, "cost": optimum + more, "late_share": 0.01}
        for name, optimum in optima.items()
        for policy, more in (above | {"optimum": 0.0}).items()
    ]
    return pd.DataFrame(rows)


def trainings(algorithm, trained_on, timesteps, regrets, optima=OPTIMA, seeds=SEEDS):
    rows = []
    for seed, shift in enumerate(seeds):
        for name, optimum in optima.items():
            regret = regrets[name] + shift
            row = {
                "algorithm": algorithm,
                "trained_on": trained_on,
                "timesteps": timesteps,
                "seed": seed,
                "tested_on": name,
            }
            costs = {"one_setting_cost": optimum + 10, "per_pattern_cost": optimum + 5, "optimum_cost": optimum}
            rows.append(row | costs | {"days": 7, "regret": regret, "cost": optimum + regret, "late_share": 0.02})
    return pd.DataFrame(rows)


def same(regret, names=PATTERNS):
    return dict.fromkeys(names, regret)


def trained_on_each(algorithm, own):
    """Return a learner whose models cost 30 more on every pattern but the one that each was trained on."""
    return [
        trainings(algorithm, name, 1_000, {other: own[other] + (30 if other != name else 0) for other in PATTERNS})
        for name in PATTERNS
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return folders with every table of the study, which no test changes."""
    folders = Folders(tmp_path_factory.mktemp("study"))
    folders.results.mkdir()
    tables = {
        "baselines": baselines(OPTIMA, ABOVE),
        "budgets": pd.concat(trainings(name, MIXED, 100, same(regret)) for name, regret in LEARNED.items()),
        "long": trainings("ppo", MIXED, 1_000, same(4.0)),
        "patterns": pd.concat(
            [
                *trained_on_each("ppo", OWN),
                *trained_on_each("dqn", same(7.0)),
                *trained_on_each("q-learning", same(11.0)),
            ]
        ),
        "iteration": trainings("policy-iteration", MIXED, 1_000, same(7.0)),
        "iteration_patterns": pd.concat(trained_on_each("policy-iteration", same(8.0))),
        "wide": trainings("ppo", MIXED, 1_000, same(2.0), {name: cost - 20 for name, cost in OPTIMA.items()}),
        "wide_baselines": baselines({name: cost - 20 for name, cost in OPTIMA.items()}, ABOVE),
        "traces": pd.concat(
            [
                trainings("ppo", MIXED, 1_000, {"taxi": 3.0, "mentions": 25.0}, TRACES),
                trainings("dqn", MIXED, 100, same(70.0, TRACES), TRACES),
            ]
        ).assign(smooth=6),
        "traces_baselines": baselines(TRACES, ABOVE | {"forecast": 15.0}).assign(smooth=6),
    }
    for name, table in tables.items():
        table.to_csv(folders.results / f"study_{name}.csv", index=False)
    limits = [Limit(name, 7, OPTIMA[name] + more, OPTIMA[name] + more + 0.25, 1.0) for name, more in FORESIGHT.items()]
    save_limits(limits, folders)
    paid = {"threshold": 60.0, "forecast": 52.0, "ppo": 50.0, "optimum": 40.0}
    advised = [
        {"trace": trace, "days": 9, "seed": seed, "policy": policy, "recommended": policy == chosen}
        | {"cost": cost + (shift + dearer if policy == "ppo" else 0)}
        for trace, dearer, chosen in (("taxi", 0.0, "ppo"), ("mentions", 9.0, "forecast"))
        for seed, shift in enumerate(SEEDS)
        for policy, cost in paid.items()
    ]
    pd.DataFrame(advised).to_csv(folders.results / "advice_traces.csv", index=False)
    return folders


@pytest.fixture
def copy(folders, tmp_path):
    """Return folders with the same tables, for a test that changes one."""
    shutil.copytree(folders.results, tmp_path / "results")
    return Folders(tmp_path)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_effort_counts_the_rule_beside_a_learner_and_the_seconds_of_the_processor_where_they_are_known(copy):
    curves = [
        {"algorithm": name, "seed": seed, "at": 10, "seconds": seconds + seed, "mean_return": -1.0}
        for name, seconds in {"q-learning": 1.0, "dqn": 2.0, "ppo": 3.0}.items()
        for seed in range(5)
    ]
    pd.DataFrame(curves).assign(trained_on=MIXED, timesteps=100).to_csv(copy.results / "study_budgets_curves.csv")
    taken = effort_of_study("budgets", copy)
    assert taken["simulated"].to_dict() == {"q-learning": 100, "dqn": 200, "ppo": 200}
    assert taken["seconds"].to_dict() == {"q-learning": 3.0, "dqn": 4.0, "ppo": 5.0}  # seeds 0 to 4 add 2 on average
    budgets = read_study("budgets", copy)
    counted = budgets.assign(simulated=300, cpu_seconds=7.0 + budgets["seed"])
    counted.to_csv(copy.results / "study_inputs.csv", index=False)
    assert effort_of_study("inputs", copy).loc["dqn"].to_dict() == {"simulated": 300.0, "seconds": 9.0}
    visited = trainings("policy-iteration", MIXED, 50, same(1.0)).assign(visited=50, branched=70, cpu_seconds=4.0)
    visited.to_csv(copy.results / "study_iteration.csv", index=False)
    assert effort_of_study("iteration", copy).loc["policy-iteration"].to_dict() == {"simulated": 120.0, "seconds": 4.0}


def test_specialists_count_on_their_own_pattern_one_training_per_seed(folders):
    own = on_own_pattern(read_study("patterns", folders))
    assert (own["trained_on"] == "OWN").all() and len(own) == 3 * 5 * 6
    row = regret_table(folders).loc["ppo on each pattern, 1,000 timesteps"]
    assert row["seeds"] == 5 and row["mean"] == pytest.approx(np.mean(list(OWN.values())))


def test_regret_is_of_rules_and_learners_alike_the_cheapest_last(folders):
    table = regret_table(folders)
    assert table["mean"].is_monotonic_decreasing and "optimum" not in table.index
    assert table.loc["threshold", list(PATTERNS)].eq(50).all() and np.isnan(table.loc["threshold", "low"])
    assert table.loc["ppo on MIXED, 1,000 timesteps", "low"] < 4.0 < table.loc["ppo on MIXED, 1,000 timesteps", "high"]
    assert regret_table(folders, "wide").index[-1] == "ppo on MIXED, 1,000 timesteps"


def test_regret_is_foresight_and_what_is_at_most_avoidable(folders):
    known, regrets = foresight(folders), regret_table(folders)
    assert known["foresight"].to_dict() == pytest.approx(FORESIGHT | {"mean": 1.5})
    assert known.loc["SPIKE"].tolist() == pytest.approx([7, 130, 136, 136.25, 6])
    rest = avoidable(regrets, folders)
    for column in (*PATTERNS, "mean"):
        assert (rest[column] + known.loc[column, "foresight"]).tolist() == pytest.approx(regrets[column].tolist())
    assert rest.loc["ppo on MIXED, 1,000 timesteps", "mean"] == pytest.approx(2.5)
    assert (rest["high"] - rest["low"]).dropna().tolist() == pytest.approx((regrets["high"] - regrets["low"]).dropna())


def test_limits_of_other_days_are_not_split(copy):
    save_limits([Limit("SPIKE", 8, 136.0, 136.25, 1.0)], copy)
    with pytest.raises(
        ValueError, match=r"days = \[7, 8\]: results/limits.csv and results/study_baselines.csv must have"
    ):
        foresight(copy)


def test_bars_of_the_split_are_foresight_and_then_the_avoidable_part(folders):
    rest = avoidable(regret_table(folders).tail(2), folders)
    figure = plot_split(rest, foresight(folders)["foresight"].drop("mean"))
    assert [axes.get_title("left") for axes in figure.axes] == list(PATTERNS)
    spike = figure.axes[3]
    grey, coloured = spike.containers
    assert [bar.get_width() for bar in grey] == [6, 6] and [bar.get_x() for bar in coloured] == [6, 6]
    assert [bar.get_width() for bar in coloured] == pytest.approx(rest["SPIKE"].clip(lower=0).tolist())
    assert [text.get_text() for text in spike.texts] == [f"{value:.1f}" for value in rest["SPIKE"]]


def test_saving_is_paired_with_the_baseline_on_the_same_days(folders):
    study = read_study("long", folders)
    row = savings_over_trainings(study, "one_setting_cost").loc[("ppo", MIXED, 1_000)]
    assert row["seeds"] == 5 and row["rule"] == pytest.approx(135) and row["cost"] == pytest.approx(129)
    assert row["saving"] == pytest.approx(6) and row["iqm"] == pytest.approx(6)
    half = 2.776 * np.std(SEEDS, ddof=1) / 5**0.5  # Student's, with 4 degrees of freedom
    assert row[["low", "high"]].tolist() == pytest.approx([6 - half, 6 + half], abs=1e-3)


def test_specialists_are_compared_with_the_cheapest_rule_and_the_interval_decides(folders):
    table = specialists(folders)
    assert table["rule"].eq("target-tracking-per-pattern").all() and table["seeds"].eq(5).all()
    assert table["saving"].to_dict() == pytest.approx({name: 5 - regret for name, regret in OWN.items()})
    cheaper = table["cheaper"].to_dict()
    assert cheaper == dict.fromkeys(PATTERNS, "learner") | {"SPIKE": "rule", "POISSON": "neither"}
    assert table.index[table["worth_it"]].tolist() == ["STEADY", "SINE_CURVE", "SINUSOIDAL"]  # RANDOM: 1 of 155 dollars


def test_advice_on_a_trace_is_compared_with_the_cheapest_rule_there(folders):
    taxi, mentions = (advice_on_traces(folders).loc[trace] for trace in ("taxi", "mentions"))
    assert (taxi["rule"], taxi["saving"], taxi["cheaper"]) == ("forecast", 2.0, "learner")
    assert taxi["recommended"] == {"ppo": 5}
    assert mentions["low"] < mentions["saving"] == -7.0 < mentions["high"] < 0 and mentions["cheaper"] == "rule"
    text = summary.advice_claim(folders)
    assert "cheaper on taxi; dearer on mentions (95 % intervals over 5 trainings" in text


def test_matrix_has_the_own_patterns_on_its_diagonal(folders):
    matrix = generalisation("ppo", folders)
    assert list(matrix.index) == [MIXED, *PATTERNS] and list(matrix.columns) == list(PATTERNS)
    assert np.diag(matrix.loc[list(PATTERNS)]) == pytest.approx(list(OWN.values()))
    assert matrix.loc["SPIKE", "STEADY"] == pytest.approx(31) and matrix.loc[MIXED].eq(4).all()


def test_traces_have_rules_and_learners_side_by_side(folders):
    table = traces_table(folders)
    assert table.loc[("taxi", "forecast"), "regret"] == 15 and table.loc[("taxi", "optimum"), "regret"] == 0
    learned = table.loc[("mentions", "ppo on MIXED, 1,000 timesteps")]
    assert learned["seeds"] == 5 and learned["regret"] == pytest.approx(25)
    assert table["smooth"].eq(6).all()


def test_the_cheapest_learner_on_each_trace_stands_beside_the_cheapest_rule(folders):
    table = learners_on_traces(folders)
    assert table["rule"].eq("target-tracking-per-pattern").all()
    assert table["learner"].eq("ppo on MIXED, 1,000 timesteps").all()
    assert table["rule_regret"].tolist() == [5.0, 5.0] and table["regret"].tolist() == pytest.approx([3.0, 25.0])
    assert table["cheaper"].to_dict() == {"taxi": "learner", "mentions": "rule"}


def test_larger_fleet_changes_are_worth_the_difference_of_the_costs(folders):
    table = wide_costs(folders)
    assert table.loc["optimum", "saved"] == pytest.approx(20.0) and table.index[0] == "optimum"
    assert table.loc["ppo on MIXED"].tolist() == pytest.approx([129.0, 107.0, 22.0])


def test_curves_of_a_learner_are_one_per_seed(tmp_path):
    folders = Folders(tmp_path)
    folders.results.mkdir()
    points = [("ppo", 0, 5, -9.0), ("ppo", 1, 5, -8.0), ("dqn", 0, 5, -7.0), ("ppo", 0, 10, -6.0)]
    table = pd.DataFrame(points, columns=["algorithm", "seed", "at", "mean_return"]).assign(timesteps=10, seconds=1.0)
    table.to_csv(folders.results / "study_budgets_curves.csv", index=False)
    curves = read_curves("budgets", "ppo", folders)
    assert [curve["timesteps"].tolist() for curve in curves] == [[5, 10], [5]]


def test_missing_table_is_named_with_the_command_that_makes_it(tmp_path):
    commands = {
        lambda folders: read_study("budgets", folders): r"study_budgets.csv is missing; .*: autoscaler study budgets$",
        traces_table: r"study_traces_baselines.csv is missing; .*: autoscaler study traces --traces FOLDER$",
        advice_on_traces: r"advice_traces.csv is missing; .*: python benchmarks/advise_traces.py TRACES$",
    }
    for read, message in commands.items():
        with pytest.raises(FileNotFoundError, match=message):
            read(Folders(tmp_path))


# --- sentences -------------------------------------------------------------------------------------------------------


def test_every_claim_is_one_line_with_the_numbers_of_the_tables(folders):
    assert len(CLAIMS) == 8
    for function in CLAIMS:
        text = function(folders)
        assert "\n" not in text and text.endswith(".") and "nan" not in text, text


def test_claims_say_which_is_cheaper_and_which_is_not(folders):
    text = summary.specialists_claim(folders)
    assert (
        "cheaper on STEADY, SINE_CURVE, SINUSOIDAL and RANDOM; dearer on SPIKE; not distinguishable on POISSON; its "
        "saving is at least 1 % of the cost on STEADY, SINE_CURVE and SINUSOIDAL." in text
    )
    assert "PPO is cheaper than target tracking calibrated for each pattern by $1.00 a day" in text
    text = summary.mixed_claim(folders)
    assert "ppo on MIXED, 1,000 timesteps; dearer: q-learning on MIXED, 100 timesteps (" in text
    assert text.endswith(" (ppo on MIXED, 1,000 timesteps began by imitating rules).")


def test_claims_answer_what_notebook_9_lets_predict(folders):
    claim = summary.regret_claim(folders)
    assert "Learning recovers 20 % of what that rule leaves. Of both" in claim  # 4 of 5 dollars stay
    assert "at least $1.50 is foresight; at most $3.50 of the rule's" in claim and "recovers 29 % of the avoid" in claim
    text = summary.generalisation_claim(folders)
    assert "$4.00 a day above the optimum on its own pattern and $34.00 on the others" in text
    assert (
        "is the model trained on STEADY ($34.60 on average)" in text and "of other patterns is SPIKE ($39.00)" in text
    )
    assert "compared with the model trained on the pattern, from -$5.00 (SPIKE) to +$3.00 (STEADY)." in text
    text = summary.wide_claim(folders)
    assert text.startswith("Larger fleet changes save $22.00 a day for PPO on MIXED, $20.00 for target tracking with")


def test_learning_that_recovers_nothing_is_told(copy):
    path = copy.results / "study_baselines.csv"
    table = pd.read_csv(path)
    table.assign(regret=table["regret"].clip(upper=0.5)).to_csv(path, index=False)
    claim = summary.regret_claim(copy)
    assert "Learning recovers nothing of what that rule leaves." in claim and "nothing of the avoidable part" in claim


def test_training_that_began_by_imitation_is_told(folders, monkeypatch):
    monkeypatch.setattr(summary, "LONG_SETTINGS", {"SPIKE": {"discount": 0.99, "imitation_days": 4}})
    note = imitation_note()
    alone = "On MIXED, STEADY, SINE_CURVE, SINUSOIDAL, POISSON and RANDOM PPO learns from rewards alone."
    assert note.startswith(f"{alone} On SPIKE it first imitates")
    assert note.endswith("chosen on selection days: SPIKE (discount 0.99, imitation_days 4).")
    assert ["pre-trained by imitating rules" in sentence for sentence in deployment(folders)].index(True) == 3
    monkeypatch.setattr(summary, "LONG_SETTINGS", {})
    assert imitation_note() == f"On MIXED, {', '.join(PATTERNS[:-1])} and {PATTERNS[-1]} PPO learns from rewards alone."
    assert "imitating" not in summary.mixed_claim(folders)
    assert not any("imitating" in sentence for sentence in deployment(folders))


def test_claims_change_with_the_tables(copy):
    before = summary.mixed_claim(copy)
    path = copy.results / "study_long.csv"
    table = pd.read_csv(path)
    table.assign(cost=table["cost"] + 20).to_csv(path, index=False)
    after = summary.mixed_claim(copy)
    assert before != after and "dearer: " in after and "ppo on MIXED, 1,000 timesteps" in after.split("dearer: ")[1]


def test_report_of_a_study_tabulates_what_its_trainings_save(folders):
    mixed, own = savings_report("long", folders), savings_report("patterns", folders)
    assert mixed.split()[-7:] == ["5", "129.0", "135.0", "6.0", "5.8", "6.2", "6.0"]
    assert "timesteps" in mixed and "SPIKE" in own and "calibrated for the pattern" in own
    assert savings_report("baselines", folders) == ""


def test_claim_whose_table_is_missing_says_how_to_make_it(copy):
    (copy.results / "study_wide.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"^results/study_wide.csv is missing; .*: autoscaler study wide$"):
        summary.wide_claim(copy)
    assert summary.mixed_claim(copy)


def test_deployment_recommends_learning_only_where_it_saves_one_percent_beyond_doubt(folders):
    advice = dict(sentence.split(": ", 1) for sentence in deployment(folders))
    rule = "deploy target-tracking-per-pattern"
    assert list(advice) == list(PATTERNS)
    assert advice["STEADY"].startswith("train PPO on it; it saves 3.8 % of the cost. PPO trained on it is cheaper")
    assert advice["RANDOM"].startswith(
        f"{rule}; PPO saves 0.6 % of the cost, which is not worth a training. PPO trained"
    )
    assert "is cheaper than target-tracking-per-pattern by $1.00 a day" in advice["RANDOM"], "the saving is concealed"
    assert advice["SPIKE"].startswith(f"{rule}; reinforcement learning is dearer.")
    assert "dearer. Policy iteration trained on it is dearer" in advice["SPIKE"], "the cheapest learner comes first"
    assert advice["POISSON"].startswith(f"{rule}; reinforcement learning is no better")
    assert advice["POISSON"].endswith("This rule is at most $4.50 (3.1 %) above the limit without foresight.")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_are_drawn_from_the_tables_by_one_command(copy, capsys):
    assert main(["study", "--figures", "--output", str(copy.root)]) == 0
    pictures = sorted(path.stem for path in copy.figures.glob("*.png"))
    assert pictures == sorted(FIGURES)
    assert capsys.readouterr().out.count("Wrote ") == len(FIGURES)
    assert not (copy.root / "build").exists(), "something was trained or measured"


def test_figure_whose_table_is_missing_is_left_out_with_a_message(copy, capsys):
    for name in ("budgets", "long", "patterns", "traces"):
        (copy.results / f"study_{name}.csv").unlink()
    assert [path.stem for path in draw_figures(copy)] == ["09_wide"]
    assert "09_traces is not drawn: results/study_traces.csv is missing; make it with" in capsys.readouterr().out


def test_points_of_seeds_lie_at_what_they_save(folders):
    (axes,) = plot_seeds(pd.read_csv(folders.results / "study_long.csv")).axes
    points = next(line for line in axes.lines if len(line.get_xdata()) == 5)
    assert sorted(points.get_xdata()) == pytest.approx([5.8, 5.9, 6.0, 6.1, 6.2])
    assert points.get_color() == colour_of("ppo")
    assert axes.get_xlabel() == "saved against ideal target tracking, one setting ($ a day)"


def test_matrix_is_drawn_with_its_numbers_and_the_own_pattern_framed(folders):
    figure = plot_matrix({"ppo": generalisation("ppo", folders)})
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == 7 * 6 and texts[:6] == ["4.0"] * 6
    assert [patch.get_xy() for patch in axes.patches] == [(i - 0.5, i + 0.5) for i in range(6)]


def test_prices_in_the_title_of_regrets_are_no_formula(folders):
    texts = FIGURES["09_regret"](folders).findobj(Text)
    title = next(text for text in texts if text.get_text().startswith("The best rule costs $3.50"))
    assert "above the limit without foresight, the best learner $2.50" in title.get_text()
    assert not title.get_parse_math()


def test_foresight_is_grey_where_a_limit_is_known_and_the_optimum_is_named_elsewhere(folders):
    (axes,), (wide,) = FIGURES["09_regret"](folders).axes, FIGURES["09_wide"](folders).axes
    assert [patch.get_width() for patch in axes.patches] == pytest.approx([1.5]) and not wide.patches
    assert "above the optimum" in wide.figure.get_suptitle()


def test_interval_of_a_single_training_is_not_drawn(folders):
    study = read_study("long", folders)
    (axes,) = plot_seeds(study[study["seed"] == 0]).axes
    assert np.isfinite(axes.get_xlim()).all()


def test_comparisons_with_rules_and_on_traces_name_every_policy(folders):
    labels = [label.get_text() for label in plot_ppo_against_rules(specialists(folders)).axes[0].get_yticklabels()]
    assert [label.split("\n")[0] for label in labels] == list(PATTERNS)
    figure = plot_traces(traces_table(folders))
    assert [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes] == ["taxi", "mentions"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "forecast" in names and "dqn on MIXED, 100 timesteps" not in names, "a policy that dear hides the others"
