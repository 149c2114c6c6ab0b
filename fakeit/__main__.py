"""`python -m fakeit …`, as `fakeit …`."""

from fakeit.jobs.command import main

main()
