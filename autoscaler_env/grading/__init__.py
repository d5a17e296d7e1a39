"""Grade submissions in a sandbox: run their notebooks, check their answers, and play their models.

`grade` leads. `submission` copies the files of a submission, and `notebooks` prepares each of its notebooks.
`supervisor` has them executed within limits: `runner` talks to the kernel, `sandbox` decides what surrounds the kernel,
and `kernel` starts in there. `answers` carries the answers out of the sandbox. `answer_key` runs the course's own
notebooks once in a `checker`, which judges the answers where no code of a submission runs. `model_score` plays the
models. `rubric` says what earns points, and `report` writes reports. `roster` knows the class, `gradebook` joins it
with the reports, and `exports` writes what Canvas, Moodle and Gradescope take. `autograder` packs all for Gradescope.
"""
