"""Many trainings and tidy tables: algorithm x training pattern x seed, as independent runs on Dask.

`autoscaler study NAME ...` trains what is not trained yet, measures every model on the same evaluation days, and
writes the tables `results/study_*.csv`. Models and results of single runs stay in `build/study`, which is not
committed.

plan: which trainings there are. run: the whole study, from its runs to its tables. cluster: runs on Dask, and the store
of their results. benchmark: the days that policies are measured on, and what the baselines cost there. analysis: what
the committed tables say, as tables. summary: the sentences made from them.
"""
