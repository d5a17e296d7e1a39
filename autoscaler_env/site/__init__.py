"""The project's site: pages made from README, docs, executed notebooks, docstrings and committed tables."""
