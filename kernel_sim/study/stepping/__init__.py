"""A policy at work on a small memory, one operation at a time, drawn in the terminal: what it looked at, what it split, what it merged.

``script``   the operations: as people write them, or by the dice
``stepper``  carries them out and keeps of each what was before, what was done and what is after
``drawing``  a step as lines of text
``quiz``     the question before a step, and whether an answer is right
"""
