"""The contract that every policy keeps: books as sets of frames, rules of placement, and a driver that holds a manager to both."""
