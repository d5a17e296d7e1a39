"""What is read from the study's tables, said about them, and drawn of them; the tables here are made by hand."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from autoscaler_env.cli.main import main
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.study import FIGURES, draw_figures, plot_duels, plot_matrix, plot_seeds, plot_traces
from autoscaler_env.plotting.style import colour_of
from autoscaler_env.readme import BLOCKS, block_of, replaced
from autoscaler_env.study import summary
from autoscaler_env.study.analysis import advised, at_home, duels, generalisation, on_traces, regret_table, report
from autoscaler_env.study.summary import CLAIMS, deployment, long_begins, say
from autoscaler_env.traffic.patterns import MIXED, PATTERNS

ABOVE = {"threshold": 50.0, "hpa-demand": 20.0, "target-tracking-mixed": 10.0, "target-tracking-per-pattern": 5.0}
LEARNED = {"q-learning": 12.0, "dqn": 8.0, "ppo": 6.0}  # regret of models on MIXED
OPTIMA = dict(zip(PATTERNS, (100.0, 110, 120, 130, 140, 150), strict=True))
HOME = {"STEADY": 1.0, "SINE_CURVE": 2.0, "SINUSOIDAL": 3.0, "SPIKE": 9.0, "POISSON": 5.0, "RANDOM": 4.0}  # PPO's
TRACES = {"taxi": 90.0, "mentions": 80.0}
SEEDS = (-0.2, -0.1, 0.0, 0.1, 0.2)  # what the seeds differ by


def opponents(optima, above):
    rows = [
        {"policy": policy, "tested_on": name, "days": 7, "regret": more, "cost": optimum + more, "late_share": 0.01}
        for name, optimum in optima.items()
        for policy, more in (above | {"optimum": 0.0}).items()
    ]
    return pd.DataFrame(rows)


def trainings(algorithm, trained_on, steps, regrets, optima=OPTIMA, seeds=SEEDS):
    rows = []
    for seed, shift in enumerate(seeds):
        for name, optimum in optima.items():
            regret = regrets[name] + shift
            row = {
                "algorithm": algorithm,
                "trained_on": trained_on,
                "timesteps": steps,
                "seed": seed,
                "tested_on": name,
            }
            costs = {"one_setting_cost": optimum + 10, "per_pattern_cost": optimum + 5, "optimum_cost": optimum}
            rows.append(row | costs | {"days": 7, "regret": regret, "cost": optimum + regret, "late_share": 0.02})
    return pd.DataFrame(rows)


def same(regret, names=PATTERNS):
    return dict.fromkeys(names, regret)


def specialists(algorithm, home):
    """Return a learner that pays 30 more on every pattern but the one that it was trained on."""
    return [
        trainings(algorithm, name, 1_000, {other: home[other] + (30 if other != name else 0) for other in PATTERNS})
        for name in PATTERNS
    ]


@pytest.fixture
def folders(tmp_path):
    """Return folders with every table of the study."""
    folders = Folders(tmp_path)
    folders.results.mkdir()
    tables = {
        "opponents": opponents(OPTIMA, ABOVE),
        "budgets": pd.concat(trainings(name, MIXED, 100, same(regret)) for name, regret in LEARNED.items()),
        "long": trainings("ppo", MIXED, 1_000, same(4.0)),
        "patterns": pd.concat(
            [*specialists("ppo", HOME), *specialists("dqn", same(7.0)), *specialists("q-learning", same(11.0))]
        ),
        "wide": trainings("ppo", MIXED, 1_000, same(2.0), {name: cost - 20 for name, cost in OPTIMA.items()}),
        "wide_opponents": opponents({name: cost - 20 for name, cost in OPTIMA.items()}, ABOVE),
        "traces": pd.concat(
            [
                trainings("ppo", MIXED, 1_000, {"taxi": 3.0, "mentions": 25.0}, TRACES),
                trainings("dqn", MIXED, 100, same(70.0, TRACES), TRACES),
            ]
        ).assign(smooth=6),
        "traces_opponents": opponents(TRACES, ABOVE | {"forecast": 15.0}).assign(smooth=6),
    }
    for name, table in tables.items():
        table.to_csv(folders.results / f"study_{name}.csv", index=False)
    paid = {"threshold": 60.0, "forecast": 52.0, "ppo": 50.0, "optimum": 40.0}
    contests = [
        {"trace": trace, "days": 9, "seed": seed, "policy": policy, "recommended": policy == chosen}
        | {"cost": cost + (shift + dearer if policy == "ppo" else 0)}
        for trace, dearer, chosen in (("taxi", 0.0, "ppo"), ("mentions", 9.0, "forecast"))
        for seed, shift in enumerate(SEEDS)
        for policy, cost in paid.items()
    ]
    pd.DataFrame(contests).to_csv(folders.results / "advice_traces.csv", index=False)
    return folders


# --- findings --------------------------------------------------------------------------------------------------------


def test_specialists_count_at_home_one_training_per_seed(folders):
    home = at_home(pd.read_csv(folders.results / "study_patterns.csv"))
    assert (home["trained_on"] == "OWN").all() and len(home) == 3 * 5 * 6
    found = regret_table(folders).loc["ppo on each pattern, 1,000 timesteps"]
    assert found["seeds"] == 5 and found["mean"] == pytest.approx(np.mean(list(HOME.values())))


def test_regret_is_of_rules_and_learners_alike_the_cheapest_last(folders):
    table = regret_table(folders)
    assert table["mean"].is_monotonic_decreasing and "optimum" not in table.index
    assert table.loc["threshold", list(PATTERNS)].eq(50).all() and np.isnan(table.loc["threshold", "low"])
    assert table.loc["ppo on MIXED, 1,000 timesteps", "low"] < 4.0 < table.loc["ppo on MIXED, 1,000 timesteps", "high"]
    assert regret_table(folders, "wide").index[-1] == "ppo on MIXED, 1,000 timesteps"


def test_advice_on_a_trace_is_held_against_the_cheapest_rule_there(folders):
    taxi, mentions = (advised(folders).loc[trace] for trace in ("taxi", "mentions"))
    assert (taxi["rule"], taxi["saving"], taxi["cheaper"], taxi["recommended"]) == ("forecast", 2.0, "ppo", {"ppo": 5})
    assert mentions["low"] < mentions["saving"] == -7.0 < mentions["high"] < 0 and mentions["cheaper"] == "rule"
    assert "cheaper on taxi; dearer on mentions (95 % intervals over 5 trainings" in claim("advice_claim", folders)


def test_duel_is_against_the_cheapest_rule_and_the_interval_decides(folders):
    table = duels(folders)
    assert table["rule"].eq("target-tracking-per-pattern").all() and table["seeds"].eq(5).all()
    assert table["saving"].to_dict() == pytest.approx({name: 5 - regret for name, regret in HOME.items()})
    others = table["cheaper"].drop(["SPIKE", "POISSON"])
    assert others.eq("ppo").all() and table.loc["SPIKE", "cheaper"] == "rule"
    assert table.loc["POISSON", "cheaper"] == "neither"


def test_matrix_has_home_on_its_diagonal(folders):
    matrix = generalisation("ppo", folders)
    assert list(matrix.index) == [MIXED, *PATTERNS] and list(matrix.columns) == list(PATTERNS)
    assert np.diag(matrix.loc[list(PATTERNS)]) == pytest.approx(list(HOME.values()))
    assert matrix.loc["SPIKE", "STEADY"] == pytest.approx(31) and matrix.loc[MIXED].eq(4).all()


def test_traces_have_rules_and_learners_side_by_side(folders):
    table = on_traces(folders)
    assert table.loc[("taxi", "forecast"), "regret"] == 15 and table.loc[("taxi", "optimum"), "regret"] == 0
    learned = table.loc[("mentions", "ppo on MIXED, 1,000 timesteps")]
    assert learned["seeds"] == 5 and learned["regret"] == pytest.approx(25)
    assert table["smooth"].eq(6).all()


# --- claims and the README -------------------------------------------------------------------------------------------


def claim(name, folders):
    return next(each for each in CLAIMS if each.__name__ == name)(folders)


def test_every_claim_is_one_line_worded_by_the_tables(folders):
    for each in CLAIMS:
        text = each(folders)
        assert "\n" not in text and text.endswith(".") and "nan" not in text, text


def test_claims_say_who_is_cheaper_and_who_is_not(folders):
    text = claim("specialists_claim", folders)
    assert (
        "cheaper on STEADY, SINE_CURVE, SINUSOIDAL and RANDOM; dearer on SPIKE; not to be told apart on POISSON."
        in text
    )
    assert "it is cheaper than target tracking calibrated for each pattern by $1.00 a day" in text
    assert "$4.00 a day above the optimum at home and $34.00 on the other five" in claim(
        "generalisation_claim", folders
    )
    text = claim("mixed_claim", folders)
    assert (
        "ppo on MIXED, 1,000 timesteps, begun by imitating rules, is cheaper than target tracking with one setting by"
        in text
    )
    assert "q-learning on MIXED, 100 timesteps is dearer" in text


def test_claims_answer_what_notebook_9_lets_predict(folders):
    assert "Learning gets back 20% of what that rule leaves." in claim("regret_claim", folders)  # 4 of 5 dollars stay
    away = claim("generalisation_claim", folders)
    assert "trained on STEADY ($34.60 on average); hardest for strangers is SPIKE ($39.00)" in away
    assert "beside the model trained on the pattern from -$5.00 (SPIKE) to +$3.00 (STEADY)." in away
    assert "PPO on MIXED from $129.00 to $107.00; " in claim("wide_claim", folders)


def test_training_that_began_as_a_rule_is_said_to(folders, monkeypatch):
    monkeypatch.setattr(summary, "SETTINGS", {"SPIKE": {"discount": 0.99, "imitation_days": 4}})
    begun = long_begins()
    alone = "On MIXED, STEADY, SINE_CURVE, SINUSOIDAL, POISSON and RANDOM PPO learns from rewards alone."
    assert begun.startswith(f"{alone} On SPIKE it begins by imitating")
    assert begun.endswith("chosen on selection days: SPIKE (discount 0.99, imitation_days 4).")
    assert ["beginning as the calibrated rule" in sentence for sentence in deployment(folders)].index(True) == 3
    monkeypatch.setattr(summary, "SETTINGS", {})
    assert long_begins() == f"On MIXED, {', '.join(PATTERNS[:-1])} and {PATTERNS[-1]} PPO learns from rewards alone."
    assert "ppo on MIXED, 1,000 timesteps is cheaper" in claim("mixed_claim", folders)
    assert not any("beginning" in sentence for sentence in deployment(folders))


def test_claims_change_with_the_tables(folders):
    before = claim("mixed_claim", folders)
    path = folders.results / "study_long.csv"
    table = pd.read_csv(path)
    table.assign(cost=table["cost"] + 20).to_csv(path, index=False)
    after = claim("mixed_claim", folders)
    assert (
        before != after
        and "1,000 timesteps, begun by imitating rules, is dearer than target tracking with one setting" in after
    )


def test_report_of_a_study_says_what_its_trainings_save(folders):
    mixed, specialists = report("long", folders), report("patterns", folders)
    assert mixed.split()[-10:-4] == ["1000", "5", "129.0", "135.0", "6.0", "5.82"]  # steps, seeds, costs, saving, low
    assert "SPIKE" in specialists and "calibrated for the pattern" in specialists
    assert report("opponents", folders) == ""


def test_claim_whose_table_is_missing_says_how_to_make_it(folders):
    (folders.results / "study_wide.csv").unlink()
    wide = next(each for each in CLAIMS if each.__name__ == "wide_claim")
    assert say(wide, folders) == "Not known yet: results/study_wide.csv is missing; make it with: autoscaler study wide"
    assert say(CLAIMS[0], folders) == CLAIMS[0](folders)


def test_deployment_says_for_each_pattern_whether_learning_pays(folders):
    advice = dict(sentence.split(": ", 1) for sentence in deployment(folders))
    assert list(advice) == list(PATTERNS)
    assert advice["STEADY"].startswith("train PPO on it; it saves 3.8 % of the cost.")  # 4 of 105 dollars
    assert advice["SPIKE"].startswith("deploy target-tracking-per-pattern; reinforcement learning does not pay.")
    assert advice["POISSON"].startswith("deploy target-tracking-per-pattern; reinforcement learning does no better")


def test_generated_blocks_are_tables_or_lists_without_holes(folders):
    for mark, markdown in BLOCKS.items():
        if mark in ("results", "workers"):
            continue  # notebook 6 and a benchmark make their files
        text = markdown(folders)
        assert "nan" not in text and "None" not in text, mark
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1, f"{mark}: the rows differ in length"


def test_block_is_replaced_between_its_marks_only():
    text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb"
    assert block_of(text, "x") == "old"
    assert replaced(text, "x", "new") == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb"
    with pytest.raises(ValueError, match="the marks of 'y' must be there once"):
        block_of(text, "y")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_are_drawn_from_the_tables_by_one_command(folders, capsys):
    assert main(["study", "--figures", "--output", str(folders.root)]) == 0
    pictures = sorted(path.stem for path in folders.figures.glob("*.png"))
    assert pictures == sorted(FIGURES)
    assert capsys.readouterr().out.count("Wrote ") == len(FIGURES)
    assert not (folders.root / "build").exists(), "something was trained or measured"


def test_figure_whose_table_is_missing_is_left_out_aloud(folders, capsys):
    for name in ("budgets", "long", "patterns", "traces"):
        (folders.results / f"study_{name}.csv").unlink()
    assert [path.stem for path in draw_figures(folders)] == ["09_wide"]
    assert "09_traces is not drawn: results/study_traces.csv is missing; make it with" in capsys.readouterr().out


def test_points_of_seeds_lie_at_what_they_save(folders):
    (axes,) = plot_seeds(pd.read_csv(folders.results / "study_long.csv")).axes
    points = next(line for line in axes.lines if len(line.get_xdata()) == 5)
    assert sorted(points.get_xdata()) == pytest.approx([5.8, 5.9, 6.0, 6.1, 6.2])
    assert points.get_color() == colour_of("ppo")
    assert axes.get_xlabel() == "saved against target tracking, one setting ($ a day)"


def test_matrix_is_drawn_with_its_numbers_and_home_framed(folders):
    figure = plot_matrix({"ppo": generalisation("ppo", folders)})
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == 7 * 6 and texts[:6] == ["4.0"] * 6
    assert [patch.get_xy() for patch in axes.patches] == [(i - 0.5, i + 0.5) for i in range(6)]


def test_prices_in_the_title_of_regrets_are_no_formula(folders):
    texts = FIGURES["09_regret"](folders).findobj(Text)
    title = next(text for text in texts if text.get_text().startswith("The best rule pays $5.00"))
    assert not title.get_parse_math()


def test_duels_and_traces_name_everyone(folders):
    labels = [label.get_text() for label in plot_duels(duels(folders)).axes[0].get_yticklabels()]
    assert [label.split("\n")[0] for label in labels] == list(PATTERNS)
    figure = plot_traces(on_traces(folders))
    assert [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes] == ["taxi", "mentions"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "forecast" in names and "dqn on MIXED, 100 timesteps" not in names, "one so dear hides the others"
