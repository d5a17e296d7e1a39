"""Grade what students hand in: run their notebooks behind a wall, check their models, compare their costs.

`submission` takes files in, `handin` makes from them the notebooks to run, `wall` decides what surrounds a kernel,
`kernel` runs in there, `runner` speaks with it, `watch` ends it in time, `marker` judges the answers where no code of
the submission runs, `costs` plays the models; `rubric`, `report` and `gradebook` make points of it all, `grade` leads.
"""
