"""What the grader says to an answer: the answer runs in one place, and the check judges its record in another."""

from autoscaler_env.grading.answers import collect, restore


def graded(check, answer, *given):
    """Return what a check of `grading.exercises` says to an answer that comes from a notebook.

    Args:
        check: The check.
        answer: The answer.
        given: What else the check gets.
    """
    names = {f"given_{number}": value for number, value in enumerate(given)}
    code = f"from {check.__module__} import {check.__name__} as check\nprint(check({', '.join(['answer', *names])}))"
    sent = collect({"answer": answer} | names, ["answer"], code)
    return check(restore(sent["answer"]), *given)
