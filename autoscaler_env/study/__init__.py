"""Many trainings, tidy tables: algorithm x training pattern x seed as independent runs on Dask.

`autoscaler study NAME ...` trains what is not trained yet, measures every model on the same evaluation days, and
gathers the tables `results/study_*.csv`. Models and results of single runs stay under `build/study`; they are not
committed.

plan: which trainings there are. exams: what a policy is measured on. runs: one run, on a worker. store: what is done.
cluster: many runs on Dask. opponents: what learners are compared with. tables: what is committed.
"""
